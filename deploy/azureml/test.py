"""Follows the README of Azure ML, with `az` and `docker` played, and asks as many at once as the deployment allows.

The contract is Microsoft's pages "CLI (v2) managed online deployment YAML schema" and "Use a custom container to deploy
a model to an online endpoint".
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from stage import python_packages
from stage.ask import Answer, Question, ask
from stage.container import Container, Mount, Wanted, stop
from stage.manifests import Manifest, read
from stage.options import Grammar, Parsed, parse
from stage.programs import Call
from stage.refusal import Refusal, require
from stage.registry import ImageRegistry
from stage.stage import Stage

MODELS = "/var/azureml-app/azureml-models"
STOP_SECONDS = 30.0
PROBE = {"initial_delay", "period", "timeout", "success_threshold", "failure_threshold"}
DEPLOYMENT = {
    "$schema", "name", "endpoint_name", "model", "environment", "environment_variables", "instance_type",
    "instance_count", "request_settings", "liveness_probe", "readiness_probe",
}  # fmt: skip
ROUTES = {"liveness_route", "readiness_route", "scoring_route"}


def play(stage: Stage) -> None:
    """Follows the README, then asks an endpoint more than it shows."""
    workspace = Workspace(stage)
    stage.follow("deploy/azureml/README.md", {"az": workspace.az, "docker": workspace.registry.docker})
    require(not workspace.endpoints, "the README leaves an endpoint behind")
    [manifest] = read(stage.root / "deploy/azureml/deployment.yml")
    instance = Instance(stage, manifest, stage.root / "models/sentiment")
    refused = instance.score(b'{"inputs": ""}')
    require(refused.status == 424, f"an empty text came back as {refused.status}")
    model_status = refused.headers["ms-azureml-model-error-statuscode"]
    require(model_status == "400", f"the model's status was {model_status}, expected 400")
    partly = instance.score(b'{"input": ["a gripping film", ""]}')
    require(partly.status == 200 and "error" in partly.json()["results"][1], "an error in its place")
    many_at_once(instance)
    instance.end()


def many_at_once(instance: Instance) -> None:
    """As many requests as the deployment allows are answered in its time."""
    count = instance.manifest["request_settings"]["max_concurrent_requests_per_instance"]
    body = json.dumps({"inputs": "a gripping film with a wonderful cast"}).encode()
    with ThreadPoolExecutor(count) as callers:
        answers = list(callers.map(instance.score, [body] * (4 * count)))
    require({answer.status for answer in answers} == {200}, f"{count} at once: {[a.status for a in answers]}")


class Instance:
    """An instance with the container that it runs."""

    def __init__(self, stage: Stage, manifest: Manifest, model: Path) -> None:
        self.manifest = manifest
        self.routes = manifest["environment"]["inference_config"]
        named = manifest["model"]
        folder = f"{MODELS}/{named['name']}/{named['version']}"
        environment = {"AZUREML_MODEL_DIR": folder} | manifest.get("environment_variables", {})
        uploaded = Path(tempfile.mkdtemp(prefix="models-"))
        uploaded.chmod(0o755)
        shutil.copytree(model, uploaded / Path(named["path"]).name)
        mount = Mount(uploaded, folder)
        self.container: Container = stage.engine.start(Wanted(environment=environment, mounts=[mount]))
        self._await_ready(manifest["readiness_probe"])

    def _await_ready(self, probe: Manifest) -> None:
        time.sleep(probe["initial_delay"])
        for _ in range(probe["failure_threshold"]):
            if self._probed("readiness_route", probe) and self._probed("liveness_route", probe):
                return
            time.sleep(probe["period"])
        raise Refusal(f"not ready after {probe['failure_threshold']} probes\n{self.container.log()}")

    def _probed(self, name: str, probe: Manifest) -> bool:
        route = self.routes[name]
        try:
            status = ask(self.container, route["port"], Question(route["path"]), probe["timeout"]).status
        except Refusal:
            return False
        return 200 <= status < 300

    def score(self, body: bytes) -> Answer:
        """What the gateway answers: a status of the model that is no 200 becomes 424."""
        route = self.routes["scoring_route"]
        headers = {"Content-Type": "application/json", "x-ms-client-request-id": "1", "azureml-unheard-of": "yes"}
        seconds = self.manifest["request_settings"]["request_timeout_ms"] / 1000
        answer = ask(self.container, route["port"], Question(route["path"], "POST", headers, body), seconds)
        if answer.status == 200:
            return answer
        said = {"ms-azureml-model-error-statuscode": str(answer.status), "ms-azureml-model-error-reason": "model_error"}
        return Answer(424, answer.headers | said, answer.body)

    def end(self) -> None:
        """Takes the instance away."""
        print(f"   ended {stop(self.container, STOP_SECONDS):.2f} s after SIGTERM", flush=True)


@dataclass
class Workspace:
    """A workspace with what `az ml` makes in it."""

    stage: Stage
    registry: ImageRegistry = field(default_factory=lambda: ImageRegistry("example.azurecr.io"))
    endpoints: dict[str, Instance | None] = field(default_factory=dict)

    def az(self, call: Call) -> str:
        """The part of Microsoft's program that the README uses."""
        match call.words:
            case ["ml", group, operation, *words] if (group, operation) in COMMANDS:
                grammar, run = COMMANDS[group, operation]
                return run(self, call, parse(words, grammar))
        raise Refusal(f"'{' '.join(call.words)}' is misspelled or not recognized by the system.")

    def create_endpoint(self, call: Call, given: Parsed) -> str:
        """An endpoint, empty at first."""
        [manifest] = read(call.file(given["--file"]))
        known(manifest, {"$schema", "name", "auth_mode"}, "endpoint")
        against_schema(manifest)
        require(manifest["auth_mode"] in ("key", "aml_token", "aad_token"), f"auth_mode: {manifest['auth_mode']}")
        self.endpoints[manifest["name"]] = None
        return json.dumps({"name": manifest["name"], "provisioning_state": "Succeeded"}, indent=2) + "\n"

    def create_deployment(self, call: Call, given: Parsed) -> str:
        """Starts an instance."""
        require("--all-traffic" in given.flags, "the endpoint sends nothing to the deployment")
        file = call.file(given["--file"])
        [manifest] = read(file)
        self._check(manifest)
        against_schema(manifest)
        model = file.resolve().parent / manifest["model"]["path"]
        require(model.is_dir(), f"{manifest['model']['path']}: no such file or directory")
        self.endpoints[manifest["endpoint_name"]] = Instance(self.stage, manifest, model.resolve())
        return json.dumps({"name": manifest["name"], "provisioning_state": "Succeeded"}, indent=2) + "\n"

    def _check(self, manifest: Manifest) -> None:
        known(manifest, DEPLOYMENT, "deployment")
        require(manifest["endpoint_name"] in self.endpoints, f"there is no endpoint {manifest['endpoint_name']}")
        known(manifest["model"], {"name", "version", "type", "path"}, "model")
        environment = manifest["environment"]
        known(environment, {"name", "version", "image", "inference_config"}, "environment")
        self.registry.pull(environment["image"])
        require(set(environment["inference_config"]) == ROUTES, f"inference_config: expected {sorted(ROUTES)}")
        for name, route in environment["inference_config"].items():
            require(set(route) == {"port", "path"} and route["path"].startswith("/"), f"{name}: {route}")
        settings = {"request_timeout_ms", "max_concurrent_requests_per_instance", "max_queue_wait_ms"}
        known(manifest["request_settings"], settings, "request_settings")
        require(manifest["request_settings"]["request_timeout_ms"] <= 180_000, "request_timeout_ms: at most 180000")
        for probe in ("liveness_probe", "readiness_probe"):
            known(manifest[probe], PROBE, probe)
        texts = manifest["environment_variables"].values()
        require(all(isinstance(text, str) for text in texts), "environment_variables: expected texts")

    def invoke(self, call: Call, given: Parsed) -> str:
        """Prints the answer as a string."""
        instance = self._endpoint(given)
        if instance is None:
            raise Refusal("the endpoint has no deployment")
        answer = instance.score(call.file(given["--request-file"]).read_bytes())
        require(answer.status == 200, f"({answer.status}) {answer.text()}")
        return json.dumps(answer.text()) + "\n"

    def logs(self, _: Call, given: Parsed) -> str:
        """The container's last lines."""
        instance = self.endpoints[given["--endpoint-name"]]
        if instance is None or instance.manifest["name"] != given["--name"]:
            raise Refusal(f"no deployment {given['--name']}")
        return instance.container.log() + "\n"

    def delete(self, _: Call, given: Parsed) -> str:
        """Ends the instance."""
        require("--yes" in given.flags, "Are you sure you want to perform this operation? (y/n):")
        if instance := self._endpoint(given):
            instance.end()
        del self.endpoints[given["--name"]]
        return ""

    def _endpoint(self, given: Parsed) -> Instance | None:
        require(given["--name"] in self.endpoints, f"(ResourceNotFound) no endpoint {given['--name']}")
        return self.endpoints[given["--name"]]


def known(found: Manifest, members: set[str], what: str) -> None:
    """Refuses members that the schema does not have."""
    unknown = set(found) - members
    require(not unknown, f"{what}: unknown field {', '.join(sorted(unknown))}")


def against_schema(manifest: Manifest) -> None:
    """Checks a file against the schema that it names, where that can be fetched."""
    try:
        import jsonschema

        with urllib.request.urlopen(manifest["$schema"], timeout=5) as response:
            schema = json.load(response)
        jsonschema.validate(manifest, schema)
    except (ImportError, urllib.error.URLError, TimeoutError):
        sentence = "Azure's schemas could not be fetched: deploy/azureml was checked by the test's own rules only"
        if sentence not in python_packages.missed:
            python_packages.missed.append(sentence)
    except jsonschema.ValidationError as error:
        raise Refusal(f"{manifest['name']}: {'.'.join(map(str, error.path))}: {error.message}") from None


FILE = ("--file",)
COMMANDS = {
    ("online-endpoint", "create"): (Grammar(FILE), Workspace.create_endpoint),
    ("online-deployment", "create"): (Grammar(FILE, flags=("--all-traffic",)), Workspace.create_deployment),
    ("online-endpoint", "invoke"): (Grammar(("--name", "--request-file")), Workspace.invoke),
    ("online-deployment", "get-logs"): (Grammar(("--name", "--endpoint-name", "--lines")), Workspace.logs),
    ("online-endpoint", "delete"): (Grammar(("--name",), flags=("--yes",)), Workspace.delete),
}
