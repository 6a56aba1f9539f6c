"""SageMaker's side of its training contract: what a job puts into /opt/ml, one word, and what it takes away at the end.

The contract is Amazon's developer guide, "Containers with custom training algorithms" and "Checkpoints in SageMaker".
"""

from __future__ import annotations

import io
import json
import re
import signal
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .container import Container, Engine, Mount, Wanted, stop
from .refusal import Refusal, require
from .storage import Storage

STOP_SECONDS, TRAINING_SECONDS = 120.0, 100.0
FAILURE_CHARACTERS = 1024
# Its directories are root's, and so is the user of the image that it is given.
ROOT = (0, 0)


@dataclass
class Request:
    """What `create-training-job` was given."""

    name: str
    channels: dict[str, str]
    output: str
    hyperparameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)
    checkpoints: str = ""


@dataclass
class TrainingJob:
    """A job on its instance."""

    engine: Engine
    storage: Storage
    request: Request
    status: str = field(init=False, default="InProgress")
    failure: str = field(init=False, default="")
    found: dict[str, float] = field(init=False, default_factory=dict)
    _disk: tempfile.TemporaryDirectory[str] = field(init=False)
    _folder: Path = field(init=False)
    _given: str = field(init=False)
    _container: Container = field(init=False)

    def __post_init__(self) -> None:
        # The container writes as another user than the one who cleans up.
        self._disk = tempfile.TemporaryDirectory(prefix="instance-", ignore_cleanup_errors=True)
        self._folder = Path(self._disk.name)
        self._folder.chmod(0o755)
        for name in ("input/config", "input/data", "model", "output/data"):
            (self._folder / name).mkdir(parents=True)
        for channel, prefix in self.request.channels.items():
            self._download(prefix, self._folder / "input/data" / channel)
        if self.request.checkpoints:
            self._download(self.request.checkpoints, self._folder / "checkpoints")
        self._given = self._newest_checkpoint()
        self._say("hyperparameters", self.request.hyperparameters)
        self._say("inputdataconfig", {channel: CHANNEL for channel in self.request.channels})
        self._say("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"})
        environment = {
            "TRAINING_JOB_NAME": self.request.name,
            "TRAINING_JOB_ARN": f"arn:aws:sagemaker:eu-west-1:111122223333:training-job/{self.request.name}",
            "AWS_REGION": "eu-west-1",
        }
        mounts = [Mount(self._folder, "/opt/ml", writable=True)]
        self._container = self.engine.start(Wanted(["train"], environment, mounts, ROOT, listens=False))

    def _say(self, name: str, value: object) -> None:
        (self._folder / "input/config" / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")

    def _download(self, prefix: str, folder: Path) -> None:
        folder.mkdir()
        for address, body in self.storage.below(prefix).items():
            file = folder / address.removeprefix(prefix).lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)

    def wait(self) -> None:
        """Waits until it is over, and takes away what it leaves."""
        if self.status != "InProgress":
            return
        code = self._container.wait(TRAINING_SECONDS)
        require(code is not None, f"the job is not over after {TRAINING_SECONDS} s\n{self._container.log()}")
        self._conclude("Completed" if code == 0 else "Failed", code)

    def _newest_checkpoint(self) -> str:
        return max((file.name for file in self._folder.glob("checkpoints/step-*")), default="")

    def await_checkpoint(self) -> None:
        """Waits until it is further than the checkpoints that it was given."""
        begun = time.monotonic()
        while self._newest_checkpoint() <= self._given:
            code = self._container.wait(0.05)
            require(code is None, f"the job ended with code {code}\n{self._container.log()}")
            require(time.monotonic() - begun < TRAINING_SECONDS, "the job does not get further than it was")

    def stop(self) -> None:
        """`stop-training-job`: SIGTERM, and SIGKILL after two minutes."""
        seconds = stop(self._container, STOP_SECONDS)
        print(f"   stopped {seconds:.2f} s after SIGTERM", flush=True)
        self._conclude("Stopped", 0)

    def take_away(self) -> None:
        """A spot instance is lost without a word: what is left are the checkpoints that were copied."""
        self._container.signal(signal.SIGKILL)
        self._container.wait(STOP_SECONDS)
        self._keep_checkpoints()
        self.status = "Interrupted"

    def _conclude(self, status: str, code: int) -> None:
        self.status = status
        self._keep_checkpoints()
        log = self._container.log()
        for name, expression in self.request.metrics.items():
            if values := re.findall(expression, log):
                self.found[name] = float(values[-1])
        failure = self._folder / "output/failure"
        told = failure.read_text(encoding="utf-8") if failure.exists() else ""
        if status == "Failed":
            require(told, f"the job ended with code {code} and wrote no failure\n{log}")
            require(len(told) <= FAILURE_CHARACTERS, f"a failure of {len(told)} characters is cut off")
            self.failure = f"AlgorithmError: {told}, exit code: {code}"
            return
        require(not told, f"the job wrote a failure and ended with code 0: {told}")
        for folder, name in (("model", "model"), ("output/data", "output")):
            self.storage.objects[self._result(name)] = _packed(self._folder / folder)

    def _keep_checkpoints(self) -> None:
        if prefix := self.request.checkpoints:
            folder = self._folder / "checkpoints"
            for file in filter(Path.is_file, folder.rglob("*")):
                self.storage.objects[f"{prefix.rstrip('/')}/{file.relative_to(folder)}"] = file.read_bytes()

    def _result(self, name: str) -> str:
        return f"{self.request.output.rstrip('/')}/{self.request.name}/output/{name}.tar.gz"

    @property
    def model(self) -> str:
        """Where the archive of the model is."""
        require(self.status in ("Completed", "Stopped"), f"the job is {self.status}: {self.failure}")
        return self._result("model")

    def describe(self) -> dict[str, object]:
        """What `describe-training-job` tells."""
        told: dict[str, object] = {"TrainingJobName": self.request.name, "TrainingJobStatus": self.status}
        if self.failure:
            return told | {"FailureReason": self.failure}
        metrics = [{"MetricName": name, "Value": value} for name, value in self.found.items()]
        return told | {"ModelArtifacts": {"S3ModelArtifacts": self.model}, "FinalMetricDataList": metrics}


CHANNEL = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}


def _packed(folder: Path) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as writer:
        for entry in sorted(folder.iterdir()):
            writer.add(entry, entry.name)
    return archive.getvalue()


def selected(told: dict[str, object], query: str) -> object:
    """The member that a `--query` of names with points between them selects."""
    found: object = told
    for name in query.split("."):
        if not isinstance(found, dict):
            raise Refusal(f"--query {query}: {name} is no member of {found}")
        found = found.get(name)
    return found
