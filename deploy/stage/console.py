"""The commands of a README, and whether their output is the one that is printed below them.

A ```console block holds commands after `$ ` and their output; a command goes on after a line that ends in a backslash.
The output ends where it does in the README: a line `…` stands for any lines, numbers with a point may differ a little.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

COMMANDS_MAX = 10
# Scores move in their last digits from one processor to another.
TOLERANCE = 2e-3


@dataclass
class Step:
    """A command with the output that the README prints below it."""

    command: str
    output: str = ""


def steps(readme: Path) -> list[Step]:
    """The commands of a README in their order."""
    found: list[Step] = []
    inside = False
    lines = iter(readme.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command += "\n" + next(lines)
            found.append(Step(command))
        elif inside and found:
            found[-1].output += line + "\n"
    if not 0 < len(found) <= COMMANDS_MAX:
        raise ValueError(f"{readme} has {len(found)} commands, expected 1 to {COMMANDS_MAX}")
    return found


def agrees(found: str, printed: str) -> bool:
    """Whether an output is the printed one."""
    head, dots, tail = printed.partition("…\n")
    if not dots:
        return _same(found, printed)
    lines = found.strip().splitlines()
    first, last = len(head.splitlines()), len(tail.splitlines())
    return (
        len(lines) >= first + last
        and _same("\n".join(lines[:first]), head)
        and _same("\n".join(lines[len(lines) - last :]), tail)
    )


def _same(found: str, printed: str) -> bool:
    left, right = _pieces(found), _pieces(printed)
    return len(left) == len(right) and all(map(_same_piece, left, right))


def _pieces(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?|\D", text.strip())


def _same_piece(left: str, right: str) -> bool:
    if left == right:
        return True
    try:
        return ("." in left or "." in right) and abs(float(left) - float(right)) <= TOLERANCE
    except ValueError:
        return False
