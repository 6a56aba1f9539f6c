"""SageMaker's side of its hosting contract: how an instance starts a container, asks it and ends it.

The contract is Amazon's developer guide, "Custom inference code with hosting services", "… with batch transform" and
"Build your own container for multi-model endpoints".
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .ask import Answer, Question, ask, await_port, await_status
from .container import Container, Engine, Mount, Wanted, stop
from .refusal import Refusal, require
from .storage import Storage

ACCEPT_SECONDS, PING_SECONDS, INVOKE_SECONDS, STOP_SECONDS = 0.25, 2.0, 60.0, 30.0
# The guide gives eight minutes; a test that waits for so long would not tell of anything else.
START_SECONDS = 60.0
MULTI_MODEL_LABEL = "com.amazonaws.sagemaker.capabilities.multi-models"
PORT_LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
# What an instance says to every container, and a server that knows nothing of it has to bear.
SURROUNDINGS = {
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/0",
    "AWS_REGION": "eu-west-1",
    "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
    "SAGEMAKER_REGION": "eu-west-1",
}


@dataclass
class Model:
    """What `create-model` was given."""

    data: str
    environment: dict[str, str]
    many: bool


@dataclass
class Instance:
    """An instance with the container that it runs."""

    engine: Engine
    storage: Storage
    model: Model
    extra: dict[str, str] = field(default_factory=dict)
    container: Container = field(init=False)
    port: int = field(init=False)
    _folder: Path = field(init=False)
    _loaded: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="instance-"))
        self._folder.chmod(0o755)
        environment = SURROUNDINGS | self.model.environment | self.extra
        if self.model.many:
            (self._folder / "models").mkdir()
            mount = Mount(self._folder / "models", "/opt/ml/models")
            environment["SAGEMAKER_MULTI_MODEL"] = "true"
        else:
            mount = Mount(self.storage.unpack(self.model.data, self._folder / "model"), "/opt/ml/model")
        self.port = int(environment.get("SAGEMAKER_BIND_TO_PORT", "8080"))
        self.container = self.engine.start(Wanted(["serve"], environment, [mount]))
        started = await_status(self.container, self.port, "/ping", START_SECONDS)
        print(f"   /ping answers 200 after {started:.2f} s", flush=True)

    def ping(self) -> None:
        """The health check that is made every few seconds as long as the instance lives."""
        await_port(self.container, self.port, ACCEPT_SECONDS)
        answer = ask(self.container, self.port, Question("/ping"), PING_SECONDS)
        require(answer.status == 200, f"/ping answered {answer.status}")

    def invoke(self, headers: dict[str, str], body: bytes) -> Answer:
        """Has the container answer. Headers that only the platform knows come with what the caller said."""
        target = headers.pop("X-Amzn-SageMaker-Target-Model", None)
        path = "/invocations" if target is None else f"/models/{self._load(target)}/invoke"
        if target is not None:
            headers["X-Amzn-SageMaker-Target-Model"] = target
        headers |= {"X-Amzn-SageMaker-Inference-Id": "0f4a-1", "X-Amzn-SageMaker-Unheard-Of": "yes"}
        self.ping()
        return ask(self.container, self.port, Question(path, "POST", headers, body), INVOKE_SECONDS)

    def _load(self, target: str) -> str:
        """Brings a model unless it is there; returns the name that the container knows it by."""
        name = hashlib.sha256((self.model.data + target).encode()).hexdigest()[:32]
        if name not in self._loaded:
            self.storage.unpack(self.model.data + target, self._folder / "models" / name / "model")
            answer = self.load(name)
            require(answer.status == 200, f"loading {target}: {answer.status} {answer.text()}")
            self._loaded.add(name)
        return name

    def load(self, name: str) -> Answer:
        """Asks the container to load what was unpacked for it."""
        url = self.container.path(f"/opt/ml/models/{name}/model")
        body = json.dumps({"model_name": name, "url": url}).encode()
        return self.ask_models("POST", "", body)

    def ask_models(self, method: str, rest: str, body: bytes | None = None) -> Answer:
        """A request of the multi-model contract."""
        headers = {"Content-Type": "application/json"} if body else {}
        return ask(self.container, self.port, Question("/models" + rest, method, headers, body), INVOKE_SECONDS)

    def end(self) -> None:
        """Takes the instance away."""
        seconds = stop(self.container, STOP_SECONDS)
        print(f"   ended {seconds:.2f} s after SIGTERM", flush=True)

    def loaded(self) -> list[str]:
        """Names of the models that were brought."""
        return sorted(self._loaded)


@dataclass
class Transform:
    """A batch transform job: lines in, lines out."""

    records: list[bytes]
    content_type: str
    accept: str

    def run(self, engine: Engine, storage: Storage, model: Model) -> bytes:
        """Starts an instance for the job, sends it the records in payloads as large as it takes, and ends it."""
        told = self._parameters(engine, storage, model)
        batch = {
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(told["MaxPayloadInMB"]),
            "SAGEMAKER_BATCH_STRATEGY": str(told["BatchStrategy"]),
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(told["MaxConcurrentTransforms"]),
        }
        instance = Instance(engine, storage, model, batch)
        payloads = self._payloads(told["MaxPayloadInMB"] << 20, told["BatchStrategy"] == "MultiRecord")
        answers = [self._answer(instance, payload) for payload in payloads]
        instance.end()
        return b"".join(answers)

    def _parameters(self, engine: Engine, storage: Storage, model: Model) -> dict[str, Any]:
        """What a container says it takes; asked of one that knows nothing yet."""
        instance = Instance(engine, storage, model, {"SAGEMAKER_BATCH": "true"})
        answer = ask(instance.container, instance.port, Question("/execution-parameters"), PING_SECONDS)
        require(answer.status == 200, f"/execution-parameters answered {answer.status}")
        told = answer.json()
        kinds = {"MaxConcurrentTransforms": int, "BatchStrategy": str, "MaxPayloadInMB": int}
        if not isinstance(told, dict) or {name: type(value) for name, value in told.items()} != kinds:
            raise Refusal(f"/execution-parameters answered {told}, expected members {kinds}")
        most = told["MaxConcurrentTransforms"] * told["MaxPayloadInMB"]
        require(most <= 100, f"MaxConcurrentTransforms times MaxPayloadInMB is {most}, at most 100")
        require(told["BatchStrategy"] in ("MultiRecord", "SingleRecord"), f"BatchStrategy: {told['BatchStrategy']}")
        instance.end()
        return told

    def _payloads(self, bytes_max: int, many: bool) -> list[bytes]:
        payloads: list[bytes] = []
        for record in self.records:
            line = record + b"\n"
            if many and payloads and len(payloads[-1]) + len(line) <= bytes_max:
                payloads[-1] += line
            else:
                payloads.append(line)
        return payloads

    def _answer(self, instance: Instance, payload: bytes) -> bytes:
        answer = instance.invoke({"Content-Type": self.content_type, "Accept": self.accept}, payload)
        require(answer.status == 200, f"a payload was answered {answer.status}: {answer.text()}")
        lines = answer.body.rstrip(b"\n").split(b"\n")
        records = payload.count(b"\n")
        require(len(lines) == records, f"{records} records have {len(lines)} answers")
        return answer.body if answer.body.endswith(b"\n") else answer.body + b"\n"
