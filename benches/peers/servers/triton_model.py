"""Triton's Python backend: one call for all requests of a dynamic batch."""

from __future__ import annotations

import os
import sys

# The backend's interpreter is isolated: it ignores PYTHONPATH and knows no virtual environment.
sys.path[:0] = os.environ["PEERS_PATH"].split(os.pathsep)

import numpy  # noqa: E402
import triton_python_backend_utils as triton  # noqa: E402

from servers.answering import Classifier  # noqa: E402


class TritonPythonModel:
    """A string tensor `text` → `label` and `score`."""

    def initialize(self, args: dict) -> None:
        """Loads the model, once an instance."""
        self._classifier = Classifier()

    def execute(self, requests: list) -> list:
        """The texts of all requests at once."""
        texts, counts = [], []
        for request in requests:
            values = triton.get_input_tensor_by_name(request, "text").as_numpy().ravel()
            texts += [value.decode() for value in values]
            counts.append(len(values))
        answers, responses = iter(self._classifier(texts)), []
        for count in counts:
            part = [next(answers) for _ in range(count)]
            label = numpy.array([[answer["label"]] for answer in part], numpy.object_)
            score = numpy.array([[answer["score"]] for answer in part], numpy.float32)
            outputs = [triton.Tensor("label", label), triton.Tensor("score", score)]
            responses.append(triton.InferenceResponse(output_tensors=outputs))
        return responses
