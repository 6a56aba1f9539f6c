"""Runs the parts inside the peers' environment, prints the tables and writes everything as JSON."""

from __future__ import annotations

import datetime
import json
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import alone
import kernels
import report
import server_table
from options import parse

NAMED = ["onnxruntime", "torch", "tokenizers", "numpy", "fastapi", "uvicorn", "litserve", "bentoml", "mlserver"]
PARTS: dict[str, Callable[[Namespace], object]] = {
    "kernels": kernels.run,
    "servers": server_table.run,
    "sconce": alone.run,
}


def _machine(options: Namespace) -> dict:
    """What it ran on and with."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    version = subprocess.run([options.sconce, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "processor": models[0].partition(":")[2].strip() if models else "unknown processor",
        "cores": ",".join(map(str, options.cores)),
        "versions": [version, *(f"{name} {metadata.version(name)}" for name in NAMED), "Triton 2.51"],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "rounds": {"kernels": options.rounds, "servers": options.server_rounds},
        "seconds": {"kernels": options.seconds, "servers": options.server_seconds},
    }


def _leave(number: int, _: object) -> None:
    """Leaves every `with`, which ends the servers; asked once more meanwhile, it goes on with that."""
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> None:
    """Every part that was asked for; what is done is written before the next one starts."""
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, _leave)
    options = parse()
    results: dict = {"machine": _machine(options)}
    for part, run in PARTS.items():
        if part in options.only:
            results[part] = run(options)
            options.json.write_text(json.dumps(results, indent=1) + "\n")
    text = report.markdown(results)
    options.json.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
