"""Ours alone: what HTTP costs over the bare engine, latency under load, the start, and how much there is of it."""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import subprocess
import time
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL
from urllib.parse import urlsplit

import artifacts
import ours
import process
import server_table
from artifacts import Served
from options import REPOSITORY
from ratios import Spread, in_turn, ratio
from servers.running import Running, running
from servers.systems import sconce

ROWS = 32
"""Texts of a request that has many."""
LONE_REQUESTS = 300
STARTS = 7
SHARES = (0.5, 0.8)


def _many(served: Served, work: Path) -> Path:
    """Requests of 32 texts."""
    texts = [json.loads(line) for line in served.texts.read_text().splitlines()]
    groups = [texts[start : start + ROWS] for start in range(0, len(texts) - ROWS + 1, ROWS)]
    path = work / f"bodies-{served.name}-many.jsonl"
    path.write_text("".join(json.dumps({"model": served.name, "input": group, "top_k": 1}) + "\n" for group in groups))
    return path


def _model(served: Served) -> Path:
    return served.models / served.name


def _saturation(options: Namespace, served: Served, server: Running, single: Path) -> dict:
    """Rows/s of the bare engine and over HTTP, in turn: requests of one row and of 32."""
    cores, seconds = options.cores, options.server_seconds
    bare = ["--inputs", served.texts, "--batch", ROWS * len(cores), "--threads", len(cores), "--seconds", seconds]
    loads = {
        "one row a request, 64 connections": (single, 1, 64),
        "32 rows a request, 8 connections": (_many(served, options.work), ROWS, 8),
    }
    rates: dict[str, list[float]] = {name: [] for name in ["bare engine", *loads]}
    without: dict[str, list[float]] = {name: [] for name in loads}
    for number in range(options.server_rounds):
        for name in in_turn(list(rates), number):
            if name == "bare engine":
                found = ours.engine(options.sconce, cores, _model(served), *bare)
                rates[name].append(found["rows_per_second"])
                continue
            lines, rows, connections = loads[name]
            flags = ["--connections", connections, "--rows-per-request", rows, "--warmup", 0.5, "--seconds", seconds]
            found = ours.load(options.sconce, cores, server.url, lines, *flags)
            rates[name].append(found["rows_per_second"])
            left = 1 - (found["generator"]["cpu_seconds"] or 0.0) / (seconds * len(cores))
            without[name].append(found["rows_per_second"] / left)
    engine = rates["bare engine"]
    return {
        "rows_per_second": rates,
        "of_bare": {name: ratio(rates[name], engine).as_json() for name in loads},
        "of_bare_without_generator": {name: ratio(without[name], engine).as_json() for name in loads},
    }


def _server_timing(server: Running, single: Path) -> dict[str, float]:
    """Medians of the parts that the server itself tells, milliseconds; empty when it tells none."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    parts: dict[str, list[float]] = {}
    lines = single.read_text().splitlines()
    for number in range(LONE_REQUESTS):
        body = lines[number % len(lines)]
        connection.request("POST", address.path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        for part in filter(None, (answer.getheader("server-timing") or "").split(",")):
            name, *values = (piece.strip() for piece in part.split(";"))
            for value in values:
                if value.startswith("dur="):
                    parts.setdefault(name, []).append(float(value.removeprefix("dur=")))
    connection.close()
    return {name: statistics.median(values) for name, values in parts.items()}


def _bare_row(options: Namespace, served: Served) -> dict[str, float]:
    """Milliseconds of one row on the bare engine, in its faster setting, and of preparing its text."""
    flags = ["--inputs", served.texts, "--batch", 1, "--engines", 1, "--seconds", options.server_seconds / 2]
    report = ours.engine(options.sconce, options.cores, _model(served), *flags, "--threads", 1, "--parts")
    times = [report["ms_per_batch"]["p50"]]
    # One row over all cores, where the engine can share it out.
    with suppress(ours.Refused):
        threads = ["--threads", len(options.cores)]
        shared = ours.engine(options.sconce, options.cores, _model(served), *flags, *threads)
        times.append(shared["ms_per_batch"]["p50"])
    return {
        "one_thread_ms": times[0],
        "bare_ms": min(times),
        "prepare_ms": report["parts"]["prepare_us"]["median"] / 1000,
        "present_ms": report["parts"]["present_us"]["median"] / 1000,
    }


def _lone(options: Namespace, served: Served, server: Running, single: Path) -> dict:
    """One connection on an idle server against the bare time of the same rows, in turn."""
    rounds = []
    for _ in range(options.server_rounds):
        bare = _bare_row(options, served)
        found = server_table.measure(options, server, single, (1, options.server_seconds / 2))
        added = 1000 * (found["p50_ms"] - bare["bare_ms"])
        rounds.append(
            bare
            | {
                "p50_ms": found["p50_ms"],
                "p99_ms": found["p99_ms"],
                "added_us": added,
                "added_without_preparing_us": added - 1000 * bare["prepare_ms"],
            }
        )
    medians = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    return medians | {
        "added_spread_us": Spread.of([one["added_without_preparing_us"] for one in rounds]).as_json(),
        "server_timing_ms": _server_timing(server, single),
    }


def _on(options: Namespace, cores: list[int]) -> Namespace:
    """The same options on other cores."""
    return Namespace(**(vars(options) | {"cores": cores}))


def _poisson(options: Namespace, served: Served, single: Path) -> list[dict]:
    """Open loop at shares of the capacity that a closed loop finds just before.

    The generator has a core of its own, where there are two: one that waits for its turn sends late.
    """
    *serving, last = options.cores
    server_side, sender_side = _on(options, serving or [last]), _on(options, [last])
    [system] = sconce(served, options.sconce)
    with running(system, server_side.cores, options.work) as server:
        bare = _bare_row(server_side, served)
        return [_poisson_at(share, sender_side, server, single, bare) for share in SHARES]


def _poisson_at(share: float, options: Namespace, server: Running, single: Path, bare: dict[str, float]) -> dict:
    """One share of the capacity."""
    seconds = options.server_seconds
    capacity = server_table.measure(options, server, single, (64, seconds))["requests_per_second"]
    flags = ["--rate", share * capacity, "--connections", 256, "--warmup", 0.5, "--seconds", 2 * seconds]
    report = ours.load(options.sconce, options.cores, server.url, single, *flags)
    latency = report["latency_ms"]
    return {
        "share": share,
        "capacity": capacity,
        "rate": report["achieved_rate"],
        "p50_ms": latency["p50"],
        "p99_ms": latency["p99"],
        "p99_over_bare_row": latency["p99"] / bare["bare_ms"],
        "generator_fell_behind": report["generator"]["fell_behind"],
    }


def _first_answer(options: Namespace) -> tuple[float, int]:
    """Milliseconds from starting the binary on the bundled models to its first answer, and then resident bytes."""
    port = process.free_port()
    flags = ["--models", REPOSITORY / "models", "--port", str(port), "--set", "log.filter=warn"]
    body = json.dumps({"model": "sentiment", "input": "a gripping film with a wonderful cast"})
    with (options.work / "starts.log").open("ab") as log:
        begin = time.monotonic()
        server = process.start([options.sconce, "serve", *flags], options.cores, {}, log, stdin=DEVNULL, stdout=log)
        try:
            while time.monotonic() < begin + 30:
                with suppress(OSError, http.client.HTTPException):
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                    connection.request("POST", "/v1/text/classify", body, {"content-type": "application/json"})
                    if connection.getresponse().status == 200:
                        taken = 1000 * (time.monotonic() - begin)
                        time.sleep(1)
                        return taken, process.resident_bytes(server.pid)
                time.sleep(0.001)
        finally:
            process.stop(server)
    raise RuntimeError(f"no answer within 30 s; {options.work / 'starts.log'} ends:\n{process.tail(Path(log.name))}")


def _sizes(options: Namespace) -> dict[str, int]:
    """Bytes of the binary, and of a stripped copy where there is a `strip`."""
    found = {"binary_bytes": options.sconce.stat().st_size}
    if shutil.which("strip"):
        copy = options.work / "sconce-stripped"
        subprocess.run(["strip", "-o", copy, options.sconce], check=True)
        found["stripped_bytes"] = copy.stat().st_size
    return found


def run(options: Namespace) -> dict:
    """Everything of ours."""
    results: dict = {"models": []}
    for served in artifacts.served(options.sconce, options.work):
        [system] = sconce(served, options.sconce)
        single = server_table.bodies(system, served, options.work)
        result = {"model": served.name}
        with running(system, options.cores, options.work) as server:
            result["one_connection"] = _lone(options, served, server, single)
            result["saturation"] = _saturation(options, served, server, single)
        result["poisson"] = _poisson(options, served, single)
        results["models"].append(result)
    starts = [_first_answer(options) for _ in range(STARTS)]
    return (
        results
        | _sizes(options)
        | {
            "first_answer_ms": Spread.of([taken for taken, _ in starts]).as_json(),
            "idle_resident_bytes": statistics.median(size for _, size in starts),
        }
    )
