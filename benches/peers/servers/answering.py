"""What every Python peer does: tokenizer → ONNX Runtime → sigmoid → label. Each serves it in its own way.

Set by environment variables: PEERS_FOLDER (`lengths.onnx`, `tokenizer.json`, `labels.txt`) and PEERS_THREADS (of one
session). This file imports nothing that Triton's Python backend would not find.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy
import onnxruntime
from tokenizers import Tokenizer


class Classifier:
    """A text classifier of one output and two labels."""

    def __init__(self) -> None:
        folder = Path(os.environ["PEERS_FOLDER"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEERS_THREADS"])
        options.inter_op_num_threads = 1
        # A spinning pool takes the core that the server, the load generator and the other worker need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = str(folder / "lengths.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._labels = (folder / "labels.txt").read_text().split()

    def __call__(self, texts: list[str]) -> list[dict]:
        """The best label of each text and its score."""
        rows = [self._tokenizer.encode(text).ids for text in texts]
        lengths = numpy.array([len(row) for row in rows], numpy.int32)
        ids = numpy.zeros((lengths.max(), len(rows)), numpy.int64)
        for column, row in enumerate(rows):
            ids[: len(row), column] = row
        [logits] = self._session.run(None, {"ids": ids, "lengths": lengths})
        return [self._answer(logit) for logit in logits[:, 0].tolist()]

    def _answer(self, logit: float) -> dict:
        score = 1 / (1 + math.exp(-abs(logit)))
        return {"label": self._labels[int(logit > 0)], "score": score}
