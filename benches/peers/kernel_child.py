"""One peer's engine in a process of its own: reads a command a line, answers a line, keeps its model warm between.

Started by `kernels.py` with a JSON object as its argument: `system` (onnxruntime, torch), `variant`, `network`,
`threads`, `folder` of the peers' files and `inputs`. Commands: `{"answers": true}` for all logits, `{"batch": 32,
"seconds": 0.5}` for a measurement. Threads are set by the parent's environment before anything is imported.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy
from numpy.typing import NDArray

Batch = tuple
"""Arguments of one call, without the model."""


def tokens_and_lengths(rows: list[list[int]]) -> tuple[NDArray, NDArray]:
    """Ids padded with 0, B × T, and how many of each row are valid."""
    lengths = numpy.array([len(row) for row in rows])
    ids = numpy.zeros((len(rows), lengths.max()), numpy.int64)
    for place, row in zip(ids, rows):
        place[: len(row)] = row
    return ids, lengths


def onnxruntime_engine(setup: dict) -> tuple[Callable, Callable]:
    """How a batch is prepared, and how it is run, by ONNX Runtime with every optimisation."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setup["threads"]
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    path = str(Path(setup["folder"]) / f"{setup['variant']}.onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def prepare(rows: list) -> dict[str, NDArray]:
        if setup["network"] != "text":
            return {"pixels": numpy.array(rows, numpy.float32).reshape(len(rows), 3, setup["side"], setup["side"])}
        ids, lengths = tokens_and_lengths(rows)
        feed = {"ids": numpy.ascontiguousarray(ids.T)}
        return feed | {"lengths": lengths.astype(numpy.int32)} if setup["variant"] == "lengths" else feed

    return prepare, lambda feed: session.run(None, feed)[0]


def torch_engine(setup: dict) -> tuple[Callable, Callable]:
    """How a batch is prepared, and how it is run, by PyTorch in inference mode."""
    import torch

    torch.set_num_threads(setup["threads"])
    torch.set_grad_enabled(False)
    network = torch.load(Path(setup["folder"]) / "module.pt", weights_only=False).eval()
    variant = setup["variant"]
    run = network
    if variant in ("padded", "packed"):
        run = getattr(network, variant)
    elif variant == "channels_last":
        run = network.to(memory_format=torch.channels_last)
    elif variant == "frozen":
        example = torch.zeros(1, 3, setup["side"], setup["side"])
        run = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, example)))
    elif variant == "compiled":
        import torch._inductor.config

        torch._inductor.config.freezing = True
        run = torch.compile(network)

    def prepare(rows: list) -> Batch:
        if setup["network"] != "text":
            pixels = torch.tensor(rows).reshape(len(rows), 3, setup["side"], setup["side"])
            return (pixels.to(memory_format=torch.channels_last) if variant == "channels_last" else pixels,)
        ids, lengths = map(torch.from_numpy, tokens_and_lengths(rows))
        return (ids, lengths) if variant in ("padded", "packed") else (ids,)

    @torch.inference_mode()
    def infer(batch: Batch) -> NDArray:
        return run(*batch).numpy()

    return prepare, infer


class Engine:
    """Inputs in batches, and the engine that runs them."""

    def __init__(self, setup: dict) -> None:
        lines = Path(setup["inputs"]).read_text().splitlines()
        self._rows = [next(iter(json.loads(line).values())) for line in lines]
        engine = {"onnxruntime": onnxruntime_engine, "torch": torch_engine}[setup["system"]]
        self._prepare, self._run = engine(setup)
        self._batches: dict[int, list[tuple[int, object]]] = {}

    def _in_batches(self, size: int) -> list[list[int]]:
        """Rows' indices in batches of equal lengths as far as possible, the longest row of each first."""
        order = sorted(range(len(self._rows)), key=lambda row: -len(self._rows[row]))
        return [order[start : start + size] for start in range(0, len(order), size)]

    def answers(self) -> list[list[float]]:
        """Logits of every row, in the order of the inputs."""
        found: list[list[float]] = [[] for _ in self._rows]
        for rows in self._in_batches(32):
            logits = self._run(self._prepare([self._rows[row] for row in rows]))
            for row, values in zip(rows, logits.tolist()):
                found[row] = values
        return found

    def measure(self, size: int, seconds: float) -> dict[str, float]:
        """Rows a second and the median batch's milliseconds, over whole passes of the inputs."""
        if size not in self._batches:
            rows = [[self._rows[row] for row in rows] for rows in self._in_batches(size)]
            self._batches[size] = [(len(batch), self._prepare(batch)) for batch in rows]
            for _, batch in self._batches[size]:
                self._run(batch)
        clock = time.perf_counter
        taken, rows, begin = [], 0, clock()
        while clock() - begin < seconds:
            for count, batch in self._batches[size]:
                before = clock()
                self._run(batch)
                taken.append(clock() - before)
                rows += count
        return {"rows_per_second": rows / (clock() - begin), "batch_ms": 1000 * statistics.median(taken)}


def main() -> None:
    """Answers commands until standard input ends."""
    engine = Engine(json.loads(sys.argv[1]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if "answers" in command:
            answer: object = engine.answers()
        else:
            answer = engine.measure(command["batch"], command["seconds"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
