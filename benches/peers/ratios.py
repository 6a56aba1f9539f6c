"""Ratios of one run: taken round by round, so that what slows the whole machine slows both sides."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles and extremes."""

    median: float
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Of one value or more."""
        low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return cls(statistics.median(values), low, high, min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"

    def as_json(self) -> dict[str, float]:
        """For the results' file."""
        return asdict(self)


def ratio(ours: list[float], theirs: list[float]) -> Spread:
    """Ours over theirs, round by round."""
    return Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])


def in_turn(names: list[str], number: int) -> list[str]:
    """The order of a round: A B C, then C B A, so that drift favours nobody."""
    return names if number % 2 == 0 else names[::-1]
