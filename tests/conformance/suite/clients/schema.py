"""schemathesis: requests made up from an OpenAPI document, right ones and wrong ones, and every answer checked with it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from ..cells import Client, Mismatch
from ..public import OIP
from ..servers import Server
from ..world import World

# The file that the hooks write how often each operation was asked to.
COUNTS = "CONFORMANCE_COUNTS"
CLIENT = Client("schemathesis", "schemathesis", "schemathesis")
SUITE = Path(__file__).resolve().parents[1]
HOOKS = f"{SUITE.name}.hooks"
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance",
)
# A status from 500 on is a fault of the server, but for those by which it says what it does not do or not now: 501 for
# functions that it has not, 503 and 507 where loading is not allowed or there is no room.
CONFIGURATION = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", {refusals}]
"""
SETTINGS = r"^/v2/(repository|logging|trace|models/[^/]+/trace)"
HOSTED = r"^/models"
RUN_SECONDS_MAX = 4 * 3600


@dataclass(frozen=True)
class Run:
    """What is asked of schemathesis."""

    name: str
    document: str
    url: str
    flags: tuple[str, ...] = ()
    refusals: str = "501"
    checks: tuple[str, ...] = CHECKS


def generate(world: World, server: Server, run: Run) -> dict[str, float]:
    """Makes up requests and sends them; every answer must be as the document says."""
    folder = world.scratch / run.name
    folder.mkdir(exist_ok=True)
    counts = folder / "counts.json"
    document, report, configuration = folder / "openapi.yaml", folder / "report.json", folder / "schemathesis.toml"
    document.write_text(run.document)
    configuration.write_text(CONFIGURATION.format(refusals=run.refusals))
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(configuration),
        "run", str(document), "--url", run.url, "--max-examples", str(world.options.examples),
        "--checks", ",".join(run.checks), "--phases", "examples,coverage,fuzzing", "--continue-on-failure",
        "--suppress-health-check", "all", "--request-timeout", "30", "--seed", "4", "--warnings", "off",
        "--report", "json", "--report-json-path", str(report), *run.flags,
    ]
    variables = os.environ | {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(SUITE.parent), COUNTS: str(counts)}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False,
                          timeout=RUN_SECONDS_MAX)
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        wrong = re.sub(r"^.*?(?=_{10,}|={10,} (ERRORS|FAILURES))", "", done.stdout, count=1, flags=re.DOTALL)
        raise Mismatch(f"made up from {document}", "answers as it says", f"{wrong[:6000]}{done.stderr[-2000:]}")
    server.fetch("/health/live")
    told = json.loads(report.read_text())
    asked = json.loads(counts.read_text())
    described = yaml.safe_load(run.document)["paths"]
    return {
        "operations": told["operations"]["tested"],
        "requests": sum(asked.values()),
        "fewest of an operation that takes anything": min(
            (count for operation, count in asked.items() if takes_anything(operation, described)), default=0
        ),
    }


def takes_anything(operation: str, described: dict) -> bool:
    """Whether its requests differ: those that take nothing have only so many forms. One that is done once has, too."""
    method, path = operation.split(" ", 1)
    return method != "DELETE" and ("{" in path or "requestBody" in described[path].get(method.lower(), {}))


@CLIENT.contract("openapi.yaml: inference and what describes it")
def inference(world: World) -> dict[str, float]:
    server = world.server()
    flags = ("--exclude-path-regex", f"{SETTINGS}|{HOSTED}")
    return generate(world, server, Run("inference", world.document("openapi"), server.url, flags))


@CLIENT.contract("openapi.yaml: repository, logging and trace settings")
def settings(world: World) -> dict[str, float]:
    server = world.server("control")
    flags = ("--include-path-regex", SETTINGS)
    return generate(world, server, Run("settings", world.document("openapi"), server.url, flags))


@CLIENT.contract("openapi.yaml: SageMaker's multi-model endpoints")
def hosted(world: World) -> dict[str, float]:
    server = world.server("multi-model")
    flags = ("--include-path-regex", HOSTED)
    return generate(world, server, Run("hosted", world.document("openapi"), server.url, flags, refusals="501, 507"))


@CLIENT.contract("openapi-admin.yaml")
def admin(world: World) -> dict[str, float]:
    server = world.server("control")
    return generate(world, server, Run("admin", world.document("openapi --admin"), server.admin))


def public_document(world: World) -> str:
    """The protocol's own document, for a server that has the bundled models.

    Its paths are written `${NAME}`, which OpenAPI writes `{NAME}`; and it gives no answer for models that are not
    there, so the names are those of models that are.
    """
    path = world.options.public.files(OIP) / "specification" / "protocol" / "open_inference_rest.yaml"
    document = yaml.safe_load(path.read_text().replace("${", "{"))
    names = {"MODEL_NAME": ["sentiment", "intents", "sign-digits"], "MODEL_VERSION": ["1"]}
    for described in document["paths"].values():
        for parameter in described.get("parameters", []):
            parameter["schema"]["enum"] = names[parameter["name"]]
    return yaml.safe_dump(document)


@CLIENT.contract("the public OIP document: requests that it allows")
def public_right(world: World) -> dict[str, float]:
    server = world.server()
    run = Run("public-right", public_document(world), server.url, ("--mode", "positive"))
    return generate(world, server, run)


@CLIENT.contract("the public OIP document: requests that it does not allow")
def public_wrong(world: World) -> dict[str, float]:
    server = world.server()
    # It says nothing of the answers to these but that they are no successes.
    checks = ("not_a_server_error", "response_schema_conformance")
    run = Run("public-wrong", public_document(world), server.url, ("--mode", "negative"), checks=checks)
    return generate(world, server, run)


CLIENTS = [CLIENT]
