"""The table of a run, for people and for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from .cells import Cell

COLUMNS = ("client", "version", "contract", "result", "requests", "seconds")


def figures_of(cell: Cell) -> str:
    """The figures that a check returned, in words."""
    return ", ".join(f"{name} {value:,.4g}" for name, value in cell.figures.items())


def markdown(cells: list[Cell]) -> str:
    """The table, with sums and figures below it."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|---|---:|---:|"]
    for cell in cells:
        row = (cell.client, cell.version, cell.contract, cell.result, f"{cell.requests:,}", f"{cell.seconds:.1f}")
        lines.append(f"| {' | '.join(row)} |")
    lines += ["", "| client | cells | passed | requests |", "|---|---:|---:|---:|"]
    for client in dict.fromkeys(cell.client for cell in cells):
        own = [cell for cell in cells if cell.client == client]
        passed, requests = sum(cell.passed for cell in own), sum(cell.requests for cell in own)
        lines.append(f"| {client} | {len(own)} | {passed} | {requests:,} |")
    passed, requests = sum(cell.passed for cell in cells), sum(cell.requests for cell in cells)
    lines.append(f"| all | {len(cells)} | {passed} | {requests:,} |")
    figures = [f"* {cell.client}, {cell.contract}: {figures_of(cell)}" for cell in cells if cell.figures]
    if figures:
        lines += ["", *figures]
    for cell in cells:
        if cell.detail:
            lines += ["", f"{cell.result.upper()}: {cell.client}, {cell.contract}", "", "```", cell.detail, "```"]
    return "\n".join(lines) + "\n"


def write(cells: list[Cell], folder: Path) -> None:
    """Writes `table.md` and `table.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(markdown(cells))
    (folder / "table.json").write_text(json.dumps([asdict(cell) for cell in cells], indent=1) + "\n")
