"""What every client finds: running servers, the inputs that are sent to all of them, and the scores expected."""

from __future__ import annotations

import base64
import functools
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy

from .public import Public
from .servers import Server

REPOSITORY = Path(__file__).resolve().parents[3]
SENTENCE = "a gripping film with a wonderful cast"
SENTENCES = [SENTENCE, "two hours I will never get back", "funny", "not a film that I would see again, ever"]
PICTURE = REPOSITORY / "examples" / "seven.jpg"
TEXT_MODEL = "sentiment"
PICTURE_MODEL = "sign-digits"

DEFAULTS = (
    "--set", f"default_models.text-classification={TEXT_MODEL}",
    "--set", f"default_models.image-classification={PICTURE_MODEL}",
)


@dataclass(frozen=True)
class Setting:
    """How a server is started."""

    flags: tuple[str, ...] = DEFAULTS
    env: dict[str, str] = field(default_factory=dict)
    copies: int = 0  # models beside the bundled ones: copies, under names of their own


SETTINGS = {
    "plain": Setting(),
    "control": Setting((*DEFAULTS, "--set", "http.model_control=true")),
    "public": Setting((*DEFAULTS, "--conformance-models", "--set", "http.model_control=true")),
    # Triton's gRPC example of model control wants eight models in the repository, the one over HTTP seven.
    "public-eight": Setting((*DEFAULTS, "--conformance-models", "--set", "http.model_control=true"), copies=1),
    "small": Setting((*DEFAULTS, "--set", "http.body_bytes_max=4096")),
    "vertex": Setting(
        (),
        {"AIP_HEALTH_ROUTE": "/health-of-vertex", "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
         "AIP_DEPLOYED_MODEL_ID": "2", "SCONCE_DEFAULT_MODELS__TEXT_CLASSIFICATION": TEXT_MODEL},
    ),
    "multi-model": Setting((), {"SAGEMAKER_MULTI_MODEL": "true"}),
}


@dataclass(frozen=True)
class Options:
    """What the caller chose."""

    binary: Path
    models: Path
    out: Path
    public: Public
    quick: bool

    @property
    def examples(self) -> int:
        """Generated requests of each operation."""
        return 100 if self.quick else 2000

    @property
    def sweep(self) -> tuple[int, ...]:
        """Requests at once, of a client that measures."""
        return (1, 8) if self.quick else (1, 2, 4, 8, 16, 32, 64)


class World:
    """What a client finds: its servers are started when they are first asked for."""

    def __init__(self, options: Options, client: str) -> None:
        self.options = options
        self.scratch = options.out / client
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.running: dict[str, Server] = {}

    def server(self, name: str = "plain") -> Server:
        """The server of this setting."""
        if name not in self.running:
            setting = SETTINGS[name]
            log = self.scratch / f"server-{name}.log"
            models = self._models(name, setting)
            self.running[name] = Server(self.options.binary, models, log, flags=setting.flags, env=setting.env)
        return self.running[name]

    def _models(self, name: str, setting: Setting) -> Path:
        if setting.copies == 0:
            return self.options.models
        folder = self.scratch / f"models-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.options.models, folder)
        for copy in range(setting.copies):
            shutil.copytree(self.options.models / TEXT_MODEL, folder / f"{TEXT_MODEL}-{copy + 1}")
        return folder

    def requests(self) -> int:
        """Requests that clients made of all servers."""
        return sum(server.requests() for server in self.running.values())

    def stop(self) -> None:
        """Ends every server; each must end well."""
        for server in self.running.values():
            server.stop()

    def document(self, verb: str) -> str:
        """An OpenAPI document as the binary prints it."""
        command = [str(self.options.binary), *verb.split()]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    @functools.cached_property
    def text_scores(self) -> numpy.ndarray:
        """The scores of `SENTENCES` by the native API, a row each, in the order of the model's labels."""
        question = json.dumps({"model": TEXT_MODEL, "input": SENTENCES}).encode()
        answer = json.loads(self.server().fetch("/v1/text/classify", question))
        return self._scores(TEXT_MODEL, answer)

    @functools.cached_property
    def picture_scores(self) -> numpy.ndarray:
        """The scores of `PICTURE` by the native API: one row."""
        return self.scores_of_picture(PICTURE.read_bytes())

    def scores_of_picture(self, picture: bytes) -> numpy.ndarray:
        """The scores of an encoded picture by the native API: one row."""
        question = {"model": PICTURE_MODEL, "input": base64.b64encode(picture).decode()}
        answer = json.loads(self.server().fetch("/v1/image/classify", json.dumps(question).encode()))
        return self._scores(PICTURE_MODEL, answer)

    def _scores(self, model: str, answer: dict) -> numpy.ndarray:
        labels = self.labels(model)
        rows = [{best["label"]: best["score"] for best in row["predictions"]} for row in answer["results"]]
        return numpy.array([[row[label] for label in labels] for row in rows], dtype=numpy.float32)

    @functools.cache  # noqa: B019: there is one world, which lives as long as the process
    def labels(self, model: str) -> list[str]:
        """A model's labels, in its order."""
        return json.loads(self.server().fetch(f"/v1/models/{model}"))["versions"][0]["labels"]

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """The token ids of texts, as the default text model sees them."""
        question = json.dumps({"inputs": texts}).encode()
        return [[token["id"] for token in row] for row in json.loads(self.server().fetch("/tokenize", question))]

    def best(self, model: str, scores: numpy.ndarray) -> list[tuple[str, float]]:
        """A row's labels with scores, best first."""
        pairs = zip(self.labels(model), scores, strict=True)
        return sorted(pairs, key=lambda pair: -pair[1])


def bits(scores: object) -> bytes:
    """Scores as the bits of their 32-bit floats: two are the same only when these are."""
    return numpy.asarray(scores, dtype=numpy.float32).tobytes()
