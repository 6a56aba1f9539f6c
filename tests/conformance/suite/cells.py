"""What is judged: clients, their contracts, and what came of each."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .world import World


class Mismatch(Exception):
    """An answer is not what the contract says."""

    def __init__(self, sent: object, expected: object, got: object) -> None:
        super().__init__(f"sent:     {shown(sent)}\nexpected: {shown(expected)}\ngot:      {shown(got)}")


class Skipped(Exception):
    """What a contract needs is not on this machine, and the caller said that this may be."""


def shown(value: object, most: int = 2000) -> str:
    """A value as a person reads it, cut where it is long."""
    if isinstance(value, (dict, list)):
        value = json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, BaseException):
        value = f"{type(value).__name__}: {value}"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def same(sent: object, expected: object, got: object) -> None:
    """The answer to what was sent is the expected one."""
    if type(expected) is not type(got) or expected != got:
        raise Mismatch(sent, expected, got)


def holds(sent: object, expected: str, got: object, *, truth: bool) -> None:
    """The answer to what was sent has a property, which `expected` names."""
    if not truth:
        raise Mismatch(sent, expected, got)


@contextmanager
def refused(sent: object, error: type[BaseException], *words: str) -> Iterator[None]:
    """What is sent within is refused by an `error` that has all `words` in its message."""
    try:
        yield
    except error as refusal:
        missing = [word for word in words if word not in str(refusal)]
        if missing:
            raise Mismatch(sent, f"{error.__name__} with {' … '.join(words)!r}", refusal) from None
    else:
        raise Mismatch(sent, f"{error.__name__} with {' … '.join(words)!r}", "no error")


@dataclass
class Cell:
    """A cell of the table: what came of a contract with a client."""

    client: str
    version: str
    contract: str
    result: str
    requests: int
    seconds: float
    detail: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.result == "passed"


Check = Callable[["World"], "dict[str, float] | None"]


class Client:
    """A client that is not ours, and the contracts that it judges."""

    def __init__(self, key: str, title: str, package: str | None = None) -> None:
        self.key = key
        self.title = title
        self.version = version(package) if package else ""
        self.checks: list[tuple[str, Check]] = []

    def contract(self, name: str) -> Callable[[Check], Check]:
        """Marks a function as the check of a contract; it raises what is wrong, and may return figures."""

        def mark(check: Check) -> Check:
            self.checks.append((name, check))
            return check

        return mark

    def judge(self, world: World) -> Iterator[Cell]:
        """Runs every check."""
        for contract, check in self.checks:
            before, begun = world.requests(), time.monotonic()
            result, detail, figures = "passed", "", None
            try:
                figures = check(world)
            except Skipped as reason:
                result, detail = "skipped", str(reason)
            except Mismatch as mismatch:
                result, detail = "failed", str(mismatch)
            except Exception:  # noqa: BLE001: a client may fail in any way, and the next one is asked all the same
                result, detail = "failed", traceback.format_exc(limit=-4)
            seconds = time.monotonic() - begun
            requests = world.requests() - before
            yield Cell(self.title, self.version, contract, result, requests, seconds, detail, figures or {})
