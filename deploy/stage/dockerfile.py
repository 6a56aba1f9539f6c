"""What a Dockerfile says of the image that it ends with."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Description:
    """How containers of an image start, unless who runs them says otherwise."""

    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    folder: str = "/"
    user: str = ""


def describe(dockerfile: Path) -> Description:
    """Reads the last stage of a Dockerfile."""
    text = dockerfile.read_text(encoding="utf-8").replace("\\\n", " ")
    found = Description()
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        match word:
            case "FROM":
                found = Description()
            case "ENV":
                found.environment.update(_pairs(rest))
            case "LABEL":
                found.labels.update(_pairs(rest))
            case "ENTRYPOINT":
                found.entrypoint = _words(rest)
            case "CMD":
                found.command = _words(rest)
            case "WORKDIR":
                found.folder = rest.strip()
            case "USER":
                found.user = rest.strip()
    return found


def _pairs(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(text))


def _words(text: str) -> list[str]:
    """The exec form only: a shell would keep signals from the server."""
    words = json.loads(text)
    if not isinstance(words, list):
        raise ValueError(f"expected a JSON list: {text}")
    return words
