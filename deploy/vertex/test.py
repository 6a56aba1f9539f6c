"""Follows the README of Vertex AI, with `gcloud` and `docker` played, then deploys as one who says nothing of routes.

The contract is Google's page "Custom container requirements for inference".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from stage.ask import Answer, Question, ask, await_port, await_status
from stage.container import Container, Wanted, stop
from stage.options import Grammar, Parsed, parse
from stage.programs import Call
from stage.refusal import Refusal, require
from stage.registry import ImageRegistry
from stage.stage import Stage

PROJECT, REGION = "projects/111122223333", "europe-west1"
HEALTH_SECONDS, PREDICT_SECONDS, STOP_SECONDS, START_SECONDS = 10.0, 60.0, 30.0, 40.0
BODY_BYTES_MAX = 1_500_000
NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,8}")


def play(stage: Stage) -> None:
    """Follows the README, then looks at the platform's own routes, and at an error."""
    project = Project(stage)
    stage.follow("deploy/vertex/README.md", {"gcloud": project.gcloud, "docker": project.registry.docker})
    require(not project.endpoints, "the README leaves an endpoint behind")
    replica = Replica(stage, Model(), ("7", "8"))
    instances = b'{"instances": ["hello"], "parameters": {"model": "intents"}}'
    require(len(replica.predict(instances).json()["predictions"]) == 1, "a prediction an instance")
    told = replica.predict(instances).json().get("deployedModelId")
    require(told == "8", f"deployedModelId is {told}, expected the one of AIP_DEPLOYED_MODEL_ID")
    refused = replica.predict(b'{"instances": "hello"}', status=400).json()
    require(set(refused) == {"error"} and refused["error"]["code"] == 400, f"no error of Google's: {refused}")
    replica.end()


@dataclass
class Model:
    """What `models upload` was given."""

    health_route: str = ""
    predict_route: str = ""
    port: int = 8080
    environment: dict[str, str] = field(default_factory=dict)


class Replica:
    """A machine that serves a deployed model."""

    def __init__(self, stage: Stage, model: Model, names: tuple[str, str]) -> None:
        endpoint, deployed = names
        route = f"/v1/endpoints/{endpoint}/deployedModels/{deployed}"
        self.health, self.predict_route = model.health_route or route, model.predict_route or f"{route}:predict"
        self.port = model.port
        told = {
            "AIP_MODE": "PREDICTION",
            "AIP_MODE_VERSION": "1.0.0",
            "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
            "AIP_STORAGE_URI": "",
            "AIP_PROJECT_NUMBER": "111122223333",
            "AIP_ENDPOINT_ID": endpoint,
            "AIP_DEPLOYED_MODEL_ID": deployed,
            "AIP_MODEL_NAME": "sconce",
            "AIP_MACHINE_TYPE": "c3-standard-4",
            "AIP_HTTP_PORT": str(model.port),
            "AIP_HEALTH_ROUTE": self.health,
            "AIP_PREDICT_ROUTE": self.predict_route,
        }
        self.container: Container = stage.engine.start(Wanted(environment=model.environment | told))
        await_port(self.container, self.port, START_SECONDS)
        seconds = await_status(self.container, self.port, self.health, START_SECONDS)
        print(f"   {self.health} answers 200 after {seconds:.2f} s", flush=True)

    def predict(self, body: bytes, status: int = 200) -> Answer:
        """Has the container answer, as the platform checks it."""
        require(len(body) <= BODY_BYTES_MAX, "the request is larger than 1.5 MB")
        health = ask(self.container, self.port, Question(self.health), HEALTH_SECONDS)
        require(health.status == 200, f"{self.health} answered {health.status}")
        headers = {"Content-Type": "application/json", "X-Goog-Unheard-Of": "yes"}
        question = Question(self.predict_route, "POST", headers, body)
        answer = ask(self.container, self.port, question, PREDICT_SECONDS)
        require(answer.status == status, f"{self.predict_route} answered {answer.status}: {answer.text()}")
        require(len(answer.body) <= BODY_BYTES_MAX, "the answer is larger than 1.5 MB")
        return answer

    def end(self) -> None:
        """Takes the machine away."""
        print(f"   ended {stop(self.container, STOP_SECONDS):.2f} s after SIGTERM", flush=True)


@dataclass
class Project:
    """A project with what `gcloud` makes in it."""

    stage: Stage
    registry: ImageRegistry = field(default_factory=lambda: ImageRegistry(f"{REGION}-docker.pkg.dev"))
    models: dict[str, Model] = field(default_factory=dict)
    endpoints: dict[str, Replica | None] = field(default_factory=dict)

    def gcloud(self, call: Call) -> str:
        """The part of Google's program that the README uses."""
        match call.words:
            case ["ai", group, operation, *words] if (group, operation) in COMMANDS:
                grammar, run = COMMANDS[group, operation]
                given = parse(words, grammar)
                require(given["--region"] == REGION, f"the repository of the image is in {REGION}")
                return run(self, call, given)
        raise Refusal(f"Invalid choice: gcloud {' '.join(call.words)}")

    def upload(self, _: Call, given: Parsed) -> str:
        """A model is an image with its routes."""
        self.registry.pull(given["--container-image-uri"])
        name, routes = given["--model-id"], (given["--container-health-route"], given["--container-predict-route"])
        require(NAME.fullmatch(name), f"{name}: no model id")
        require(all(route.startswith("/") for route in routes), f"routes begin with /: {routes}")
        pairs = dict(pair.split("=", 1) for pair in given["--container-env-vars"].split(","))
        require(not any(variable.startswith("AIP_") for variable in pairs), "AIP_ variables are Vertex AI's own")
        self.models[name] = Model(*routes, int(given["--container-ports"]), pairs)
        return f"model: {PROJECT}/locations/{REGION}/models/{name}\nmodelVersionId: '1'\n"

    def create(self, _: Call, given: Parsed) -> str:
        """An endpoint, empty at first."""
        name = given["--endpoint-id"]
        require(NAME.fullmatch(name), f"{name}: no endpoint id")
        self.endpoints[name] = None
        return f"name: {PROJECT}/locations/{REGION}/endpoints/{name}\n"

    def deploy(self, _: Call, given: Parsed) -> str:
        """Starts a replica."""
        name, model, deployed = self._endpoint(given), given["--model"], given["--deployed-model-id"]
        require(model in self.models, f"NOT_FOUND: the model {model}")
        require(re.fullmatch(r"[0-9]{1,10}", deployed), f"{deployed}: no deployed model id")
        least, most = int(given["--min-replica-count"]), int(given["--max-replica-count"])
        require(1 <= least <= most, f"{least} to {most} replicas")
        self.endpoints[name] = Replica(self.stage, self.models[model], (name, deployed))
        return f"deployedModel:\n  id: '{deployed}'\n"

    def predict(self, call: Call, given: Parsed) -> str:
        """A prediction an instance, as the program prints it."""
        request = json.loads(call.file(given["--json-request"]).read_text(encoding="utf-8"))
        require(set(request) <= {"instances", "parameters"}, f"Input has unknown members: {sorted(request)}")
        require(given["--format"] == "json(predictions)", f"format {given['--format']} is not played here")
        replica = self.endpoints[self._endpoint(given)]
        if replica is None:
            raise Refusal("FAILED_PRECONDITION: the endpoint has no deployed model")
        predictions = replica.predict(json.dumps(request).encode()).json()["predictions"]
        count = len(request["instances"])
        require(len(predictions) == count, f"{count} instances have {len(predictions)} predictions")
        return json.dumps({"predictions": predictions}, indent=2, sort_keys=True) + "\n"

    def undeploy(self, _: Call, given: Parsed) -> str:
        """Ends the replica."""
        name = self._endpoint(given)
        replica = self.endpoints[name]
        if replica is None:
            raise Refusal(f"NOT_FOUND: the deployed model {given['--deployed-model-id']}")
        replica.end()
        self.endpoints[name] = None
        return ""

    def delete(self, _: Call, given: Parsed) -> str:
        """Only what is empty."""
        name = self._endpoint(given)
        require(self.endpoints[name] is None, "FAILED_PRECONDITION: the endpoint has deployed models")
        require("--quiet" in given.flags, "Do you want to continue (Y/n)?")
        del self.endpoints[name]
        return ""

    def _endpoint(self, given: Parsed) -> str:
        require(given.positional[0] in self.endpoints, f"NOT_FOUND: the endpoint {given.positional[0]}")
        return given.positional[0]


UPLOAD = Grammar(
    ("--region", "--model-id", "--display-name", "--container-image-uri", "--container-ports",
     "--container-health-route", "--container-predict-route", "--container-env-vars"),
)  # fmt: skip
DEPLOY = Grammar(
    ("--region", "--model", "--display-name", "--deployed-model-id", "--machine-type", "--min-replica-count",
     "--max-replica-count"),
    positional=1,
)  # fmt: skip
COMMANDS = {
    ("models", "upload"): (UPLOAD, Project.upload),
    ("endpoints", "create"): (Grammar(("--region", "--endpoint-id", "--display-name")), Project.create),
    ("endpoints", "deploy-model"): (DEPLOY, Project.deploy),
    ("endpoints", "predict"): (Grammar(("--region", "--json-request", "--format"), positional=1), Project.predict),
    ("endpoints", "undeploy-model"): (Grammar(("--region", "--deployed-model-id"), positional=1), Project.undeploy),
    ("endpoints", "delete"): (Grammar(("--region",), flags=("--quiet",), positional=1), Project.delete),
}
