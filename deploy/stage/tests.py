"""The stage itself: what is wrong is found. Run before any README is followed."""

from __future__ import annotations

import contextlib
import io
import signal
import socket
import sys
import tempfile
import unittest
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .ask import Question, ask, await_port
from .autoscaler import rule
from .console import agrees, steps
from .container import Container, Told, Wanted, stop
from .dockerfile import Description, describe
from .knative import revision
from .kserve import check_service
from .manifests import check_restricted, parse
from .options import Grammar
from .options import parse as parse_options
from .pod import Pod
from .programs import Call
from .refusal import Refusal
from .shorthand import structure
from .stage import Stage

SERVER = """
import http.server, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[1])); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *_): pass
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[3])))
import os
http.server.ThreadingHTTPServer((os.environ["SCONCE_HTTP__HOST"], 8080), Handler).serve_forever()
"""


class Impostor(Told):
    """Runs a server that keeps no contract."""

    def __init__(self) -> None:
        super().__init__(Path(sys.executable), Description(entrypoint=["python"]))

    def run(self, *words: str) -> Container:
        """One that answers with a status, and ends, or does not, with a code."""
        return self.start(Wanted(["-c", SERVER, *words]))


class TheStage(unittest.TestCase):
    """What the stage promises to the tests of the deployments."""

    def refused(self, words: str, action: Callable[[], object]) -> None:
        """Expects a refusal that says so."""
        with self.assertRaises(Refusal) as caught:
            action()
        self.assertIn(words, str(caught.exception))

    def test_a_readme_is_read_as_it_is_printed(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            readme = Path(folder) / "README.md"
            readme.write_text("a\n```console\n$ one \\\n  two\nout\n$ three\n```\n```sh\n$ no\n```\n", encoding="utf-8")
            found = [(step.command, step.output) for step in steps(readme)]
            self.assertEqual(found, [("one \\\n  two", "out\n"), ("three", "")])
            readme.write_text("```console\n" + "$ true\n" * 11 + "```\n", encoding="utf-8")
            self.assertRaises(ValueError, steps, readme)

    def test_outputs_are_compared_as_numbers_where_they_are_numbers(self) -> None:
        self.assertTrue(agrees('{"score":0.98761}', '{"score":0.98759}\n'))
        self.assertFalse(agrees('{"score":0.98}', '{"score":0.97}\n'))
        self.assertFalse(agrees('{"version":"1"}', '{"version":"2"}\n'))
        self.assertTrue(agrees("first\nx\nlast", "first\n…\nlast\n"))
        self.assertFalse(agrees("first\nx\nlost", "first\n…\nlast\n"))

    def test_a_command_that_fails_or_prints_something_else_is_refused(self) -> None:
        def play(call: Call) -> str:
            if call.words:
                raise Refusal("no such option")
            return "played\n"

        with tempfile.TemporaryDirectory() as folder:
            stage = Stage(Path(folder), Impostor())
            readme = Path(folder) / "README.md"
            for command, output, words in (
                ("player", "played", ""),
                ("player --loud", "played", "player: no such option"),
                ("player", "something else", "printed in the README"),
                ("player && false", "played", "exit code 1"),
            ):
                readme.write_text(f"```console\n$ {command}\n{output}\n```\n", encoding="utf-8")
                with contextlib.redirect_stdout(io.StringIO()):
                    if words:
                        self.refused(words, lambda: stage.follow("README.md", {"player": play}))
                    else:
                        stage.follow("README.md", {"player": play})

    def test_words_are_taken_apart_strictly(self) -> None:
        grammar = Grammar(("--name",), ("--region",), ("--yes",), 1)
        given = parse_options(["it", "--name=a", "--yes", "--region", "b"], grammar)
        self.assertEqual((given["--name"], given["--region"], given.positional), ("a", "b", ["it"]))
        for words, sentence in (
            (["it"], "missing: --name"),
            (["--name", "a"], "expected 1"),
            (["it", "--nam", "a"], "unknown option --nam"),
            (["it", "--name"], "expected a value"),
            (["it", "--name", "a", "--name", "b"], "twice"),
        ):
            self.refused(sentence, partial(parse_options, words, grammar))
        self.assertEqual(structure("A=1,B={C=x,D=[y,z]}"), {"A": "1", "B": {"C": "x", "D": ["y", "z"]}})
        for text in ("A", "A=1,B", "A={B=1", "A=[1", "A=1}"):
            self.refused("Error parsing parameter", partial(structure, text))

    def test_a_container_that_does_not_end_is_killed_and_told_of(self) -> None:
        engine = Impostor()
        for words, seconds, sentence in (
            (("200", "deaf", "0"), 0.2, "was killed"),
            (("200", "hears", "3"), 5, "code 3"),
        ):
            container = engine.run(*words)
            await_port(container, 8080, 5.0)
            self.assertEqual(ask(container, 8080, Question("/"), 5.0).status, 200)
            self.refused(sentence, partial(stop, container, seconds))
            self.assertIsNotNone(container.wait(5.0))

    def test_a_pod_that_is_not_well_is_not_ready(self) -> None:
        probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 0.05, "failureThreshold": 3}
        container = {"name": "c", "args": ["-c", SERVER, "503", "hears", "0"]}
        engine = Impostor()
        started = Pod(engine, {"containers": [container | {"startupProbe": probe}]})
        self.refused("startup probe failed", lambda: started.await_ready(10))
        alive = Pod(engine, {"containers": [container | {"livenessProbe": probe}]})
        alive.await_ready(5)
        alive.kubelet.join()
        self.refused("liveness probe failed", alive.check)
        for pod in (started, alive):
            pod.container.signal(signal.SIGKILL)

    def test_manifests_are_read_strictly(self) -> None:
        self.refused("twice in one mapping", lambda: parse("a: 1\na: 2\n", "file"))
        self.refused("runAsNonRoot", lambda: check_restricted({"containers": [{"name": "c"}]}))
        service = (
            "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nspec: {predictor: {model: {}, min: 1}}"
        )
        self.refused("unknown field min", lambda: check_service(parse(service, "file")[0]))
        knative = "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {}, spec: {replicas: 1}}"
        self.refused("unknown field", lambda: revision(parse(knative, "file")[0]))
        custom = {"seriesQuery": "queue", "metricsQuery": "q", "resources": {}, "name": {}}
        self.refused("seriesQuery", lambda: rule({"rules": {"custom": [custom]}}))

    def test_the_last_stage_of_a_dockerfile_is_described(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "Dockerfile"
            text = 'FROM a\nENV A=1\nFROM b\nENV B="2 3" \\\n  C=4\nLABEL x=y\nENTRYPOINT ["p"]\nCMD ["q"]\n'
            file.write_text(text, encoding="utf-8")
            found = describe(file)
            self.assertEqual(found.environment, {"B": "2 3", "C": "4"})
            self.assertEqual((found.labels, found.entrypoint, found.command), ({"x": "y"}, ["p"], ["q"]))
            file.write_text("FROM a\nENTRYPOINT p q\n", encoding="utf-8")
            self.assertRaises(ValueError, describe, file)

    def test_a_port_where_nothing_listens_refuses(self) -> None:
        container = Impostor().run("200", "hears", "0")
        await_port(container, 8080, 5.0)
        self.assertRaises(ConnectionRefusedError, container.connect, 8081, 1.0)
        self.assertIsInstance(container.connect(8080, 1.0), socket.socket)
        stop(container, 5.0)


def run() -> bool:
    """Whether the stage is as it should be."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(TheStage)
    return unittest.TextTestRunner(verbosity=0).run(suite).wasSuccessful()
