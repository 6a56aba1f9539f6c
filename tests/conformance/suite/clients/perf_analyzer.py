"""perf_analyzer, Triton's load generator: sweeps of concurrency that must complete, and ratios of rates."""

from __future__ import annotations

import csv
import json
import os
import random
import statistics
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..cells import Client, Mismatch, holds
from ..world import PICTURE_MODEL, SENTENCE, TEXT_MODEL, World

# The last wheel with the binary in it; its Python package stays unused, for the other clients have a newer one.
WHEEL = "tritonclient==2.49.0"
CLIENT = Client("perf-analyzer", "perf_analyzer")
CLIENT.version = WHEEL.rpartition("=")[2]
MEASURE_SECONDS_MAX = 300
# A picture as cameras and test sets have them, and what a network of that size is sent.
SIDE = 224
FEW = 16
"""Requests at once that leave the client's threads waiting for each other more than for the server."""
MANY = 64
"""Requests at once, the end of the sweep: the machine is busy, and rates are what a request takes of it."""


@dataclass(frozen=True, eq=False)
class Load:
    """What is measured: a model, one row for it, and how it is sent."""

    model: str
    tensor: dict[str, dict]
    protocol: str
    tensors: str = "binary"
    stream: bool = False

    @property
    def name(self) -> str:
        return f"{self.model} {self.protocol} {'stream' if self.stream else self.tensors}"


def text(protocol: str, tensors: str = "binary", *, stream: bool = False) -> Load:
    return Load(TEXT_MODEL, {"text": {"content": [SENTENCE], "shape": [1]}}, protocol, tensors, stream)


def picture(protocol: str, tensors: str = "binary") -> Load:
    numbers = random.Random(224)
    content = [numbers.randrange(256) for _ in range(SIDE * SIDE * 3)]
    return Load(PICTURE_MODEL, {"pixels": {"content": content, "shape": [SIDE, SIDE, 3]}}, protocol, tensors)


def binary(world: World) -> Path:
    """The program, unpacked from its wheel."""
    folder = world.options.out / "perf_analyzer"
    program = folder / "perf_analyzer"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--only-binary", ":all:", "--platform", "manylinux1_x86_64", "--dest", str(folder), WHEEL]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = [name for name in archive.namelist() if name.endswith("/bin/perf_analyzer")]
            program.write_bytes(archive.read(member))
        program.chmod(0o755)
        wheel.unlink()
    return program


def rate(world: World, load: Load, concurrency: int, window_ms: int) -> float:
    """Inferences a second, over three windows."""
    server = world.server()
    data, table = world.scratch / f"{load.model}.json", world.scratch / "rates.csv"
    data.write_text(json.dumps({"data": [load.tensor]}))
    table.unlink(missing_ok=True)
    command = [
        str(binary(world)), "-m", load.model, "-i", load.protocol,
        "-u", server.grpc if load.protocol == "grpc" else server.host,
        "--input-data", str(data), "--concurrency-range", str(concurrency), "-p", str(window_ms), "-s", "999",
        "-f", str(table),
    ]
    if load.stream:
        command += ["--async", "--streaming"]
    if load.protocol == "http":
        command += ["--input-tensor-format", load.tensors, "--output-tensor-format", load.tensors]
    libraries = Path(sysconfig.get_path("purelib")) / "nvidia" / "cuda_runtime" / "lib"
    done = subprocess.run(command, env=os.environ | {"LD_LIBRARY_PATH": str(libraries)}, capture_output=True, text=True,
                          timeout=MEASURE_SECONDS_MAX, check=False)
    if "libb64" in done.stderr:
        raise RuntimeError("perf_analyzer needs libb64.so.0d, which Debian and Ubuntu have in the package libb64-0d")
    if done.returncode != 0 or not table.exists():
        raise Mismatch(" ".join(command), "exit code 0 and a table of rates", done.stdout[-2000:] + done.stderr[-2000:])
    with table.open() as lines:
        (row,) = csv.DictReader(lines)
    measured = float(row["Inferences/Second"])
    holds(" ".join(command), "more than 0 inferences a second", measured, truth=measured > 0)
    return measured


def sweep(world: World, load: Load) -> dict[str, float]:
    """The rates at growing concurrency."""
    window = 300 if world.options.quick else 1000
    return {f"rate at {count}": rate(world, load, count, window) for count in world.options.sweep}


def ratio(world: World, ours: Load, others: Load, concurrency: int = MANY) -> dict[str, float]:
    """How many times the rate of `others` that of `ours` is: the median of ratios that were measured side by side."""
    rounds, window = (3, 300) if world.options.quick else (9, 1000)
    server = world.server()
    pairs, spent, sent = [], dict.fromkeys((ours, others), 0.0), dict.fromkeys((ours, others), 0)
    for place in range(rounds):
        measured = {}
        for load in (ours, others) if place % 2 == 0 else (others, ours):
            cpu, requests = server.cpu_seconds(), server.requests()
            measured[load] = rate(world, load, concurrency, window)
            spent[load] += server.cpu_seconds() - cpu
            sent[load] += server.requests() - requests
        pairs.append(measured[ours] / measured[others])
    # What the server itself needs does not depend on what else runs on the machine, its client above all. A stream is one
    # request to the server, however many messages it has.
    counted = [load for load in (ours, others) if not load.stream]
    cost = {f"server's µs a request, {load.name}": spent[load] / sent[load] * 1e6 for load in counted}
    return {"ratio": statistics.median(pairs), "least": min(pairs), "most": max(pairs)} | cost


@CLIENT.contract("OIP REST: sweep with a text")
def text_http(world: World) -> dict[str, float]:
    return sweep(world, text("http"))


@CLIENT.contract("OIP gRPC: sweep with a text")
def text_grpc(world: World) -> dict[str, float]:
    return sweep(world, text("grpc"))


@CLIENT.contract("OIP gRPC stream: sweep with a text")
def text_stream(world: World) -> dict[str, float]:
    return sweep(world, text("grpc", stream=True))


@CLIENT.contract("OIP REST: sweep with a picture")
def picture_http(world: World) -> dict[str, float]:
    return sweep(world, picture("http"))


@CLIENT.contract("OIP gRPC: sweep with a picture")
def picture_grpc(world: World) -> dict[str, float]:
    return sweep(world, picture("grpc"))


def at_least(world: World, goal: float, figures: dict[str, float]) -> dict[str, float]:
    """The figures; the ratio is judged only where it is measured long enough to be one."""
    if not world.options.quick:
        holds("alternated runs", f"a ratio of at least {goal}", figures, truth=figures["ratio"] >= goal)
    return figures


@CLIENT.contract(f"rate of gRPC over that of REST with JSON, a text, {MANY} at once")
def grpc_over_json(world: World) -> dict[str, float]:
    # No bar: a call costs this client more than a REST request, on the cores that the server runs on.
    return ratio(world, text("grpc"), text("http", "json"))


@CLIENT.contract(f"rate of a gRPC stream over that of REST with JSON, a text, {MANY} at once")
def stream_over_json(world: World) -> dict[str, float]:
    return at_least(world, 1.0, ratio(world, text("grpc", stream=True), text("http", "json")))


@CLIENT.contract(f"rate of gRPC over that of REST with JSON, a text, {FEW} at once")
def grpc_over_json_of_few(world: World) -> dict[str, float]:
    return ratio(world, text("grpc"), text("http", "json"), FEW)


@CLIENT.contract(f"rate of gRPC over that of REST with bytes, a text, {MANY} at once")
def grpc_over_bytes(world: World) -> dict[str, float]:
    return ratio(world, text("grpc"), text("http"))


@CLIENT.contract("rate of REST with bytes over that with JSON, a picture")
def bytes_over_json(world: World) -> dict[str, float]:
    return at_least(world, 2.0, ratio(world, picture("http"), picture("http", "json"), FEW))


CLIENTS = [CLIENT]
