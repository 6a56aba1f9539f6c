"""Reads `weights.safetensors` of a bundled model: a JSON header, then 32-bit floats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import torch


def read(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor by name."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, entry in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        values = numpy.frombuffer(data[start + first : start + last], "<f4").reshape(entry["shape"])
        found[name] = torch.from_numpy(values.copy())
    return found
