"""The kernels' table: rows a second of the bare engines, ours against ONNX Runtime and PyTorch."""

from __future__ import annotations

import json
import select
import statistics
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

import artifacts
import ours
import process
from artifacts import Case
from options import HERE
from ratios import Spread, in_turn, ratio

DIFFERENCE_MAX = 1e-4
"""Of logits; a pair that differs by more has no ratio."""
ANSWER_SECONDS = 180
SIXTEEN_BITS_BATCH = 32
OURS = "Sconce"
VARIANTS = {
    "LSTM, 64 tokens": {"onnxruntime": ["plain"], "torch": ["plain"]},
    "LSTM, real lengths": {"onnxruntime": ["lengths"], "torch": ["padded", "packed"]},
}
PICTURE_VARIANTS = {"onnxruntime": ["plain"], "torch": ["plain", "channels_last", "frozen"]}


@dataclass
class Peer:
    """A peer's engine in one variant: one process with all threads, or one process a core that share the batch."""

    system: str
    variant: str
    children: list[Popen]

    @property
    def name(self) -> str:
        """What to call it in the table."""
        shared = f", {len(self.children)} processes" if len(self.children) > 1 else ""
        return f"{self.system} {self.variant}{shared}"

    def ask(self, command: dict) -> list:
        """Every child's answer to a command that all get at once."""
        for child in self.children:
            child.stdin.write(json.dumps(command).encode() + b"\n")
            child.stdin.flush()
        return [self._line(child) for child in self.children]

    def _line(self, child: Popen) -> object:
        ready, _, _ = select.select([child.stdout], [], [], ANSWER_SECONDS)
        line = child.stdout.readline() if ready else b""
        if not line:
            raise RuntimeError(f"{self.name} gave no answer; its log is in the work folder")
        return json.loads(line)

    def await_start(self) -> None:
        """Until every child has its model."""
        for child in self.children:
            self._line(child)

    def fits(self, batch: int) -> bool:
        """Whether each child gets a row."""
        return batch >= len(self.children)

    def measure(self, batch: int, seconds: float) -> dict[str, float]:
        """Rows a second of all children together, and a batch's milliseconds."""
        found = self.ask({"batch": batch // len(self.children), "seconds": seconds})
        return {
            "rows_per_second": sum(answer["rows_per_second"] for answer in found),
            "batch_ms": statistics.mean(answer["batch_ms"] for answer in found),
        }


@contextmanager
def _peer(case: Case, which: tuple[str, str], cores: list[list[int]], work: Path) -> Iterator[Peer]:
    """A peer with a child for every list of cores, a thread for every core of it."""
    system, variant = which
    threads = len(cores[0])
    side = int(case.network.removeprefix("picture") or 0) if case.network != "text" else 0
    setup = {
        "system": system,
        "variant": variant,
        "network": case.network,
        "side": side,
        "threads": threads,
        "folder": str(case.peers),
        "inputs": str(case.inputs),
    }
    environment = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    command = [sys.executable, HERE / "kernel_child.py", json.dumps(setup)]
    with ExitStack() as stack:
        log = stack.enter_context((work / f"kernels-{system}-{variant}.log").open("ab"))
        children = []
        for own in cores:
            children.append(process.start(command, own, environment, log, stdin=PIPE, stdout=PIPE))
            stack.callback(process.stop, children[-1])
        yield Peer(system, variant, children)


def _difference(ours: list[list[float]], theirs: list[list[float]]) -> float:
    return max(abs(a - b) for row, other in zip(ours, theirs, strict=True) for a, b in zip(row, other, strict=True))


def _peers(case: Case, cores: list[int], work: Path, stack: ExitStack) -> list[Peer]:
    """Every peer in every variant, started."""
    groups = [[cores]] if len(cores) == 1 else [[cores], [[core] for core in cores]]
    variants = VARIANTS.get(case.name, PICTURE_VARIANTS)
    which = [(system, variant) for system, found in variants.items() for variant in found]
    peers = [stack.enter_context(_peer(case, one, group, work)) for one in which for group in groups]
    for peer in peers:
        peer.await_start()
    return peers


def _best(peers: list[Peer], batch: int, seconds: float) -> dict[str, Peer]:
    """The fastest variant of each system, each measured twice, the better time counting."""
    found: dict[str, tuple[float, Peer]] = {}
    for peer in (peer for peer in peers if peer.fits(batch)):
        rate = max(peer.measure(batch, seconds)["rows_per_second"] for _ in range(2))
        if rate > found.get(peer.system, (0.0, peer))[0]:
            found[peer.system] = (rate, peer)
    return {system: peer for system, (_, peer) in found.items()}


@dataclass(frozen=True)
class Own:
    """Our engine in one setting: a new process for every measurement."""

    sconce: Path
    cores: list[int]
    model: Path
    inputs: Path
    engines: int
    threads: int

    @property
    def name(self) -> str:
        """What to call it in the table."""
        return f"{self.engines} engine(s), {self.threads} thread(s)"

    def report(self, batch: int, seconds: float) -> dict:
        """What `sconce bench engine` says."""
        shares = ["--engines", self.engines, "--threads", self.threads]
        flags = ["--batch", batch, "--seconds", seconds, "--inputs", self.inputs, *shares]
        return ours.engine(self.sconce, self.cores, self.model, *flags)


def _own(options: Namespace, case: Case, cores: list[int], load: tuple[int, float]) -> Own:
    """Our fastest setting for a load of (batch, seconds): all threads on one engine, an engine a thread, or one."""
    count, (batch, _) = len(cores), load
    shares = dict.fromkeys([(1, 1), (1, count), (count, count)])
    found: list[tuple[float, Own]] = []
    for engines, threads in (share for share in shares if share[0] <= batch):
        own = Own(options.sconce, cores, case.model, case.inputs, engines, threads)
        # Not every network's rows can be shared out over threads; the verb says so.
        with suppress(ours.Refused):
            found.append((own.report(*load)["rows_per_second"], own))
    return max(found, key=lambda entry: entry[0])[1]


def _rounds(case: Case, load: tuple[int, float], contenders: tuple[Own, dict[str, Peer]], rounds: int) -> dict:
    """Everybody in turn, round after round, at a load of (batch, seconds)."""
    own, best = contenders
    rates: dict[str, list[float]] = {name: [] for name in [OURS, *best]}
    times: dict[str, list[float]] = {name: [] for name in rates}
    peaks = []
    for number in range(rounds):
        for name in in_turn(list(rates), number):
            if name == OURS:
                report = own.report(*load)
                found = {"rows_per_second": report["rows_per_second"], "batch_ms": report["ms_per_batch"]["p50"]}
                peaks.append(report["share"]["gflops_peak"] / own.threads * len(own.cores))
            else:
                found = best[name].measure(*load)
            rates[name].append(found["rows_per_second"])
            times[name].append(found["batch_ms"])
    better = max(best, key=lambda name: statistics.median(rates[name]))
    peak = statistics.median(peaks)
    work = case.flops / 1e9 / peak
    return {
        "case": case.name,
        "batch": load[0],
        "threads": len(own.cores),
        "rows_per_second": rates,
        "batch_ms": {name: statistics.median(values) for name, values in times.items()},
        "variants": {OURS: own.name} | {name: peer.name for name, peer in best.items()},
        "better": better,
        "ratio": ratio(rates[OURS], rates[better]).as_json(),
        "gflops_peak": peak,
        "of_peak": {name: statistics.median(values) * work for name, values in rates.items()},
    }


def _threads(options: Namespace) -> list[list[int]]:
    """One core, and all of them."""
    return [options.cores[:1], options.cores][: len(options.cores)]


def _case(options: Namespace, case: Case) -> Iterator[dict]:
    """All batches and thread counts of a case."""
    expected = ours.answers(options.sconce, options.cores, case.model, case.inputs)
    for cores in _threads(options):
        with ExitStack() as stack:
            peers = _peers(case, cores, options.work, stack)
            apart = {peer.name: _difference(expected, peer.ask({"answers": True})[0]) for peer in peers}
            if wrong := {name: value for name, value in apart.items() if not value <= DIFFERENCE_MAX}:
                raise RuntimeError(f"{case.name}: logits differ by more than {DIFFERENCE_MAX}: {wrong}")
            for batch in case.batches:
                load = (batch, options.seconds)
                contenders = (_own(options, case, cores, load), _best(peers, *load))
                row = _rounds(case, load, contenders, options.rounds)
                row["difference"] = max(apart.values())
                yield row


def _sixteen_bits(options: Namespace, case: Case) -> Iterator[dict]:
    """Our 16-bit weights, in the precision that is fast on this machine, against our 32-bit ones, and on how many rows the
    labels agree."""
    whole = Own(options.sconce, options.cores[:1], case.model, case.inputs, 1, 1)
    tiles = whole.report(SIXTEEN_BITS_BATCH, options.seconds)["instructions"] == "AMX"
    precision = "bf16" if tiles else "int16"
    model = artifacts.with_precision(options.work, case.model, precision)
    exact = ours.answers(options.sconce, options.cores, case.model, case.inputs)
    coarse = ours.answers(options.sconce, options.cores, model, case.inputs)
    agree = sum((a[0] > 0) == (b[0] > 0) for a, b in zip(exact, coarse, strict=True)) / len(exact)
    for cores in _threads(options):
        count = len(cores)
        rates: dict[str, list[float]] = {"f32": [], precision: []}
        own = {
            name: Own(options.sconce, cores, directory, case.inputs, count, count)
            for name, directory in (("f32", case.model), (precision, model))
        }
        for number in range(options.rounds):
            for name in in_turn(list(rates), number):
                rates[name].append(own[name].report(SIXTEEN_BITS_BATCH, options.seconds)["rows_per_second"])
        yield {
            "case": case.name,
            "threads": count,
            "better": "f32",
            "precision": precision,
            "ratio": ratio(rates[precision], rates["f32"]).as_json(),
            "labels_agree": agree,
            "difference": _difference(exact, coarse),
            "rates": rates,
        }


def _collected(rows: Iterator[dict], failed: list[str]) -> list[dict]:
    """The rows as far as they come; a failure is kept beside them, and the other cases go on."""
    found = []
    try:
        for row in rows:
            spread = Spread(**row["ratio"])
            batch = f"batch {row.get('batch', SIXTEEN_BITS_BATCH)}"
            print(f"{row['case']}, {batch}, {row['threads']} thread(s): {spread} × {row['better']}", file=sys.stderr)
            found.append(row)
    except RuntimeError as reason:
        print(reason, file=sys.stderr)
        failed.append(str(reason))
    return found


def run(options: Namespace) -> dict:
    """The whole table; each row is told on standard error as it comes."""
    texts = artifacts.text_cases(options.sconce, options.work)
    cases = [*texts, *(artifacts.picture_case(options.sconce, options.work, side) for side in (14, 32))]
    failed: list[str] = []
    rows = [row for case in cases for row in _collected(_case(options, case), failed)]
    sixteen_bits = [row for case in texts for row in _collected(_sixteen_bits(options, case), failed)]
    return {"rows": rows, "sixteen_bits": sixteen_bits, "failed": failed}
