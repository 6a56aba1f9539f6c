"""Our binary's measuring verbs: the bare engine and the load generator."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

WRONG_USAGE = 2


class Refused(RuntimeError):
    """What was asked for cannot be done, such as sharing one row out over threads."""


def _json(command: Sequence[object], cores: Sequence[int]) -> dict:
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
    done = subprocess.run(pinned, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout.startswith("{"):
        failure = Refused if done.returncode == WRONG_USAGE else RuntimeError
        raise failure(f"{' '.join(pinned)}: exit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def engine(sconce: Path, cores: Sequence[int], model: Path, *flags: object) -> dict:
    """`sconce bench engine --json` of a model directory."""
    return _json([sconce, "bench", "engine", model, "--json", *flags], cores)


def answers(sconce: Path, cores: Sequence[int], model: Path, inputs: Path) -> list[list[float]]:
    """The logits of every line of the inputs."""
    return engine(sconce, cores, model, "--inputs", inputs, "--batch", 32, "--answers")["answers"]


def load(sconce: Path, cores: Sequence[int], url: str, bodies: Path, *flags: object) -> dict:
    """`sconce bench http --json`: requests/s and latencies; a failed request is an error here."""
    report = _json([sconce, "bench", "http", url, "--lines", bodies, "--json", *flags], cores)
    if report["requests"] != report["succeeded"]:
        raise RuntimeError(f"{url}: {report['requests'] - report['succeeded']} requests failed: {report['errors']}")
    return report
