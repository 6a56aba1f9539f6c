"""What schemathesis is told of the models that there are: without it, hardly a request would find one."""

from __future__ import annotations

import zlib
from typing import Any

import schemathesis

NAMES = ("sentiment", "intents", "sign-digits")
KNOWN = {"name": NAMES, "model": NAMES, "version": ("1",), "label": ("stable",)}


@schemathesis.hook
def map_path_parameters(_context: Any, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Three of four texts that were made up for a name become one that is known."""
    for name, value in (parameters or {}).items():
        place = zlib.crc32(str(value).encode(errors="replace"))
        if name in KNOWN and isinstance(value, (str, int)) and place % 4:
            parameters[name] = KNOWN[name][place // 4 % len(KNOWN[name])]
    return parameters
