"""What runs inside schemathesis: it is told of the models that there are, and how often each operation was asked is counted."""

from __future__ import annotations

import atexit
import json
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis

# The file that the counts go to.
COUNTS = "CONFORMANCE_COUNTS"
NAMES = ("sentiment", "intents", "sign-digits")
TIMEOUT, TIMEOUT_MS_MIN = "x-request-timeout-ms", 60_000
KNOWN = {"name": NAMES, "model": NAMES, "version": ("1",), "label": ("stable",)}
counts: Counter[str] = Counter()


@schemathesis.hook
def map_path_parameters(_context: Any, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Three of four texts that were made up for a name become one that is known: hardly any would be one by chance."""
    for name, value in (parameters or {}).items():
        place = zlib.crc32(str(value).encode(errors="replace"))
        if name in KNOWN and isinstance(value, (str, int)) and place % 4:
            parameters[name] = KNOWN[name][place // 4 % len(KNOWN[name])]
    return parameters


@schemathesis.hook
def before_call(_context: Any, case: Any, _options: dict[str, Any]) -> None:
    """Counts a request, whatever phase made it up, and has it wait long enough.

    One that waits for a millisecond is answered 504, as it asks, which would count as a fault of the server.
    """
    counts[case.operation.label] += 1
    for name, value in (case.headers or {}).items():
        if name.lower() == TIMEOUT and str(value).isascii() and str(value).isdigit() and 0 < int(value) < TIMEOUT_MS_MIN:
            case.headers[name] = str(TIMEOUT_MS_MIN)


@atexit.register
def tell() -> None:
    """Writes the counts."""
    if COUNTS in os.environ:
        Path(os.environ[COUNTS]).write_text(json.dumps(counts))
