"""The servers' tables: text in, label out, over HTTP, everybody on the same cores, one system at a time."""

from __future__ import annotations

import json
import statistics
import sys
from argparse import Namespace
from pathlib import Path

import artifacts
import ours
import process
from artifacts import Served
from ratios import Spread, in_turn, ratio
from servers.running import NotRunning, Running, running
from servers.systems import FAMILIES, System, grid

SCORE_MAX = 1e-4
"""Difference of scores; a system that differs by more is not measured."""
CHECKED = 50
CONNECTIONS = (64, 1)
OURS = "Sconce"
TUNING_SECONDS = 1.5

Answers = list[tuple[str, float]]


def texts(served: Served) -> list[str]:
    """What a model is asked."""
    return [json.loads(line) for line in served.texts.read_text().splitlines()]


def bodies(system: System, served: Served, work: Path) -> Path:
    """The requests that a system gets, a JSON object a line."""
    path = work / f"bodies-{served.name}-{system.name.lower()}.jsonl"
    path.write_text("".join(json.dumps(system.body(text)) + "\n" for text in texts(served)))
    return path


def check(server: Running, served: Served, expected: Answers) -> float:
    """The largest difference of scores from ours; raises when a label or a score is another."""
    found = [server.ask(text) for text in texts(served)[:CHECKED]]
    apart = max(abs(a[1] - b[1]) for a, b in zip(expected, found, strict=True))
    if [label for label, _ in found] != [label for label, _ in expected] or not apart <= SCORE_MAX:
        raise NotRunning(f"{server.system.name} ({server.system.setting}) answers otherwise: scores by {apart:.1e}")
    return apart


def measure(options: Namespace, server: Running, lines: Path, load: tuple[int, float]) -> dict[str, float]:
    """Requests/s, latencies and processor seconds of a closed loop of (connections, seconds), after a warm-up."""
    connections, seconds = load
    flags = ["--connections", connections, "--warmup", 0, "--seconds"]
    ours.load(options.sconce, options.cores, server.url, lines, *flags, min(1.0, seconds / 2))
    before = process.cpu_seconds(server.process.pid)
    report = ours.load(options.sconce, options.cores, server.url, lines, *flags, seconds)
    used = process.cpu_seconds(server.process.pid) - before
    return {
        "requests_per_second": report["requests_per_second"],
        "p50_ms": report["latency_ms"]["p50"],
        "p99_ms": report["latency_ms"]["p99"],
        "cpu_seconds_per_1000": 1000 * used / report["succeeded"],
    }


def _expected(options: Namespace, served: Served) -> Answers:
    """Our answers, which every peer's are held against."""
    [system] = grid(OURS, served, options.sconce, options.work)
    with running(system, options.cores, options.work) as server:
        return [server.ask(text) for text in texts(served)[:CHECKED]]


def _tried(options: Namespace, served: Served, system: System, expected: Answers) -> dict:
    """One setting: checked and measured for a moment, or why not."""
    entry: dict = {"system": system.name, "setting": system.setting}
    try:
        with running(system, options.cores, options.work) as server:
            entry["difference"] = check(server, served, expected)
            lines = bodies(system, served, options.work)
            entry |= measure(options, server, lines, (CONNECTIONS[0], TUNING_SECONDS))
    except (NotRunning, RuntimeError) as reason:
        entry["failed"] = str(reason)
    told = entry.get("failed") or f"{entry['requests_per_second']:.0f} requests/s"
    print(f"{served.name}: {system.name}, {system.setting}: {told}", file=sys.stderr)
    return entry


def _tuned(options: Namespace, served: Served) -> tuple[dict[str, System], list[dict]]:
    """The fastest setting of every system at 64 connections, and what became of every setting tried."""
    expected = _expected(options, served)
    best: dict[str, tuple[float, System]] = {}
    tried = []
    for name in options.system or FAMILIES:
        for system in grid(name, served, options.sconce, options.work):
            entry = _tried(options, served, system, expected)
            rate = entry.get("requests_per_second", 0.0)
            if rate > best.get(name, (0.0, system))[0]:
                best[name] = (rate, system)
            tried.append(entry)
    return {name: system for name, (_, system) in best.items()}, tried


Runs = dict[tuple[int, str], list[dict]]
"""Measurements by connections and system, one a round."""


def _rounds(options: Namespace, served: Served, best: dict[str, System], tried: list[dict]) -> Runs:
    """A fresh server in every round. A system that fails in one is left out from there, and listed in `tried`."""
    found: Runs = {(count, name): [] for count in CONNECTIONS for name in best}
    for number in range(options.server_rounds):
        for name in in_turn(sorted({name for _, name in found}), number):
            lines = bodies(best[name], served, options.work)
            try:
                with running(best[name], options.cores, options.work) as server:
                    for count in CONNECTIONS:
                        load = (count, options.server_seconds)
                        found[count, name].append(measure(options, server, lines, load))
            except (NotRunning, RuntimeError) as reason:
                print(f"{served.name}: {reason}", file=sys.stderr)
                tried.append({"system": name, "setting": best[name].setting, "failed": str(reason)})
                found = {key: runs for key, runs in found.items() if key[1] != name}
        print(f"{served.name}: round {number + 1} of {options.server_rounds}", file=sys.stderr)
    return found


def _table(options: Namespace, served: Served) -> dict:
    """One model."""
    best, tried = _tuned(options, served)
    rows = []
    found = _rounds(options, served, best, tried)
    for (count, name), runs in found.items():
        rates = [run["requests_per_second"] for run in runs]
        row = {"system": name, "setting": best[name].setting, "connections": count}
        row |= {"requests_per_second": rates, "rate": Spread.of(rates).as_json()}
        for key in ("p50_ms", "p99_ms", "cpu_seconds_per_1000"):
            row[key] = statistics.median(run[key] for run in runs)
        if mine := found.get((count, OURS)):
            row["ratio"] = ratio([run["requests_per_second"] for run in mine], rates).as_json()
        rows.append(row)
    return {"model": served.name, "tried": tried, "rows": rows}


def run(options: Namespace) -> list[dict]:
    """A table for each model."""
    return [_table(options, served) for served in artifacts.served(options.sconce, options.work)]
