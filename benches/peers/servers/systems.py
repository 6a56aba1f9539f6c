"""Every system of the servers' tables: how it is started, asked and understood, with the settings worth trying."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from artifacts import Served
from options import HERE

PYTHON = sys.executable
BIN = Path(PYTHON).parent
NAME = "classifier"


@dataclass(frozen=True)
class Launch:
    """What is run for a server on a port."""

    command: list[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """A server in one of its settings."""

    name: str
    setting: str
    launch: Callable[[int, Path], Launch]
    """Of a port, and a folder for the files it needs."""
    path: str
    body: Callable[[str], object]
    """The JSON of a request for one text."""
    read: Callable[[dict | list], tuple[str, float]]
    """Label and score of an answer."""


def _classifier(served: Served, threads: int) -> dict[str, str]:
    """The environment that `answering.py` reads."""
    return {
        "PEERS_FOLDER": str(served.peers),
        "PEERS_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(HERE),
    }


def _plain(answer: dict) -> tuple[str, float]:
    return answer["label"], answer["score"]


def _v2(answer: dict) -> tuple[str, float]:
    """Label and score of the V2 protocol."""
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    return outputs["label"][0], outputs["score"][0]


def _v2_body(text: str) -> dict:
    return {"inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [text]}]}


def sconce(served: Served, binary: Path) -> list[System]:
    """Ours, as it comes; requests are not logged, as with every peer."""

    def launch(port: int, _: Path) -> Launch:
        quiet = ["--set", "log.filter=warn", "--set", "models.watch=false"]
        return Launch([binary, "serve", "--models", served.models, "--port", str(port), *quiet])

    def read(answer: dict) -> tuple[str, float]:
        best = answer["results"][0]["predictions"][0]
        return best["label"], best["score"]

    body = lambda text: {"model": served.name, "input": text, "top_k": 1}
    return [System("Sconce", "defaults", launch, "/v1/text/classify", body, read)]


def fastapi(served: Served, _: Path) -> list[System]:
    """uvicorn with uvloop and httptools."""

    def system(workers: int, threads: int) -> System:
        def launch(port: int, _: Path) -> Launch:
            command = [BIN / "uvicorn", "servers.fastapi_app:app", "--port", str(port), "--workers", str(workers)]
            quiet = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
            return Launch(command + quiet, _classifier(served, threads))

        setting = f"{workers} worker(s), {threads} thread(s)"
        return System("FastAPI", setting, launch, "/classify", lambda text: {"input": text}, _plain)

    return [system(2, 1), system(1, 1), system(1, 2)]


def litserve(served: Served, _: Path) -> list[System]:
    """With and without dynamic batching."""

    def system(batch: int, workers: int) -> System:
        def launch(port: int, _: Path) -> Launch:
            settings = {"PEERS_PORT": str(port), "PEERS_BATCH": str(batch), "PEERS_WORKERS": str(workers)}
            return Launch([PYTHON, "-m", "servers.litserve_app"], _classifier(served, 1) | settings)

        setting = f"max_batch_size {batch}, {workers} worker(s)"
        return System("LitServe", setting, launch, "/predict", lambda text: {"input": text}, _plain)

    return [system(1, 1), system(1, 2), system(32, 1), system(32, 2)]


def bentoml(served: Served, _: Path) -> list[System]:
    """With and without adaptive batching."""

    def system(batch: int, workers: int) -> System:
        def launch(port: int, folder: Path) -> Launch:
            settings = {
                "PEERS_BATCH": str(batch),
                "PEERS_WORKERS": str(workers),
                "BENTOML_DO_NOT_TRACK": "True",
                "BENTOML_HOME": str(folder / "bentoml"),
            }
            command = [BIN / "bentoml", "serve", "servers.bentoml_app:Text", "--host", "127.0.0.1", "--port", str(port)]
            return Launch([*command, "--working-dir", HERE], _classifier(served, 1) | settings)

        setting = f"adaptive batching {'on' if batch > 1 else 'off'}, {workers} worker(s)"
        body = lambda text: {"texts": [text]}
        return System("BentoML", setting, launch, "/classify", body, lambda answer: _plain(answer[0]))

    return [system(1, 1), system(1, 2), system(32, 1), system(32, 2)]


def mlserver(served: Served, _: Path) -> list[System]:
    """With its workers in parallel or in the server's process, with and without adaptive batching."""

    def system(batch: int, workers: int) -> System:
        def launch(port: int, folder: Path) -> Launch:
            repository = folder / "mlserver"
            repository.mkdir(parents=True, exist_ok=True)
            settings = {
                "host": "127.0.0.1",
                "http_port": port,
                "grpc_port": port + 1,
                "metrics_endpoint": None,
                "parallel_workers": workers,
                "debug": False,
            }
            model = {"name": NAME, "implementation": "servers.mlserver_app.TextModel"}
            if batch > 1:
                model |= {"max_batch_size": batch, "max_batch_time": 0.002}
            (repository / "settings.json").write_text(json.dumps(settings))
            (repository / "model-settings.json").write_text(json.dumps(model))
            return Launch([BIN / "mlserver", "start", repository], _classifier(served, 1))

        setting = f"parallel_workers {workers}, adaptive batching {'on' if batch > 1 else 'off'}"
        return System("MLServer", setting, launch, f"/v2/models/{NAME}/infer", _v2_body, _v2)

    return [system(1, 0), system(1, 2), system(32, 0), system(32, 2)]


TRITON_MODEL = """
name: "{name}"
backend: "python"
max_batch_size: 32
input [ {{ name: "text", data_type: TYPE_STRING, dims: [ 1 ] }} ]
output [
  {{ name: "label", data_type: TYPE_STRING, dims: [ 1 ] }},
  {{ name: "score", data_type: TYPE_FP32, dims: [ 1 ] }}
]
instance_group [ {{ kind: KIND_CPU, count: {instances} }} ]
dynamic_batching {{ }}
"""


def triton(served: Served, work: Path) -> list[System]:
    """The Python backend with dynamic batching that delays nobody."""
    wheel = work / "triton"
    server = wheel / "pytriton" / "tritonserver"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = f"{HERE}:{wheel / 'packages'}:{Path(sys.prefix) / 'lib' / version / 'site-packages'}"
    libraries = f"{wheel / 'nvidia_pytriton.libs'}:{Path(sys.base_prefix) / 'lib'}"

    def system(instances: int) -> System:
        def launch(port: int, folder: Path) -> Launch:
            repository = folder / "triton"
            (repository / NAME / "1").mkdir(parents=True, exist_ok=True)
            (repository / NAME / "config.pbtxt").write_text(TRITON_MODEL.format(name=NAME, instances=instances))
            shutil.copy(HERE / "servers" / "triton_model.py", repository / NAME / "1" / "model.py")
            command = [
                server / "bin" / "tritonserver",
                *("--model-repository", repository),
                *("--backend-directory", server / "backends"),
                *("--http-address", "127.0.0.1", "--http-port", str(port)),
                *("--allow-grpc", "false", "--allow-metrics", "false", "--log-info", "false"),
            ]
            paths = {"PEERS_PATH": packages, "LD_LIBRARY_PATH": libraries}
            return Launch(command, _classifier(served, 1) | paths)

        return System("Triton", f"{instances} instance(s)", launch, f"/v2/models/{NAME}/infer", _v2_body, _v2)

    return [system(1), system(2)]


FAMILIES = {
    "Sconce": sconce,
    "FastAPI": fastapi,
    "LitServe": litserve,
    "BentoML": bentoml,
    "MLServer": mlserver,
    "Triton": triton,
}


def grid(name: str, served: Served, binary: Path, work: Path) -> list[System]:
    """A system's settings to try."""
    return FAMILIES[name](served, binary if name == "Sconce" else work)
