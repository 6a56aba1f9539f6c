"""The command line: what is compared, for how long, on which cores, and where the files go."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PARTS = ("kernels", "servers", "sconce")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options, with `--quick` already turned into rounds and seconds."""
    work = REPOSITORY / "target" / "peers"
    parser = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part to run; repeatable; all when absent")
    parser.add_argument("--quick", action="store_true", help="3 rounds, short runs: to see that everything works")
    parser.add_argument("--rounds", type=int, help="rounds of the kernels' table (15)")
    parser.add_argument("--seconds", type=float, help="seconds of one kernel measurement (0.5)")
    parser.add_argument("--server-rounds", type=int, help="rounds of the servers' tables (5)")
    parser.add_argument("--server-seconds", type=float, help="seconds of one server measurement (4)")
    parser.add_argument("--cores", default="0,1", help="the cores that everything runs on, comma separated (0,1)")
    parser.add_argument(
        "--system", action="append", help="a system of the servers' tables; repeatable; all when absent"
    )
    parser.add_argument("--work", type=Path, default=work, help="folder for models, logs and results (target/peers)")
    parser.add_argument("--venv", type=Path, help="the peers' virtual environment (WORK/venv); made when absent")
    parser.add_argument("--wheels", type=Path, help="folder that has or gets Triton's wheel (WORK/wheels)")
    parser.add_argument("--sconce", type=Path, help="our binary; without it `cargo build --release` makes it")
    parser.add_argument("--json", type=Path, help="the results as JSON (WORK/results.json)")
    options = parser.parse_args(arguments)
    options.work = options.work.resolve()
    options.venv = (options.venv or options.work / "venv").resolve()
    options.wheels = (options.wheels or options.work / "wheels").resolve()
    options.json = options.json or options.work / "results.json"
    options.only = options.only or list(PARTS)
    options.cores = [int(core) for core in options.cores.split(",")]
    if missing := set(options.cores) - os.sched_getaffinity(0):
        parser.error(f"--cores: this machine does not have core {sorted(missing)}")
    short = options.quick
    options.rounds = options.rounds or (3 if short else 15)
    options.seconds = options.seconds or (0.25 if short else 0.5)
    options.server_rounds = options.server_rounds or (2 if short else 5)
    options.server_seconds = options.server_seconds or (2 if short else 4)
    return options
