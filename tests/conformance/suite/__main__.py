"""The suite's command line: runs the clients one after the other and writes the table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import process, table
from .cells import Cell
from .clients import MODULES
from .public import Public
from .world import REPOSITORY, Options


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/conformance/run",
        description="Sconce, judged by clients that it did not write. Exits with 0 only if every cell passed.",
    )
    target = REPOSITORY / "target"
    parser.add_argument("--sconce", type=Path, default=target / "release" / "sconce", help="the binary to judge")
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models", help="the models it serves")
    parser.add_argument("--out", type=Path, default=target / "conformance" / "out", help="where table.md and table.json go")
    parser.add_argument("--venv", type=Path, help="the virtual environment (default: target/conformance/venv)")
    parser.add_argument("--public", type=Path, help="a folder with copies of public repositories, OWNER/NAME each")
    parser.add_argument("--offline", action="store_true", help="skip what needs a public repository that cannot be had")
    parser.add_argument("--quick", action="store_true", help="fewer examples and shorter sweeps: some minutes")
    parser.add_argument("--only", nargs="+", choices=list(MODULES), metavar="CLIENT", help=f"some of: {', '.join(MODULES)}")
    return parser.parse_args()


def judge(options: Options, keys: list[str]) -> list[Cell]:
    """Runs the clients one after the other, saying what came of each contract as it is known."""
    cells = []
    for key in keys:
        for cell in process.judge(key, options):
            cells.append(cell)
            print(f"{cell.result:7} {cell.requests:9,} requests {cell.seconds:7.1f} s  {cell.client}: {cell.contract}",
                  flush=True)
            if cell.detail:
                print(cell.detail, flush=True)
    return cells


def main() -> int:
    chosen = arguments()
    out = chosen.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    public = Public(chosen.public, REPOSITORY / "target" / "conformance" / "public", offline=chosen.offline)
    options = Options(chosen.sconce.resolve(), chosen.models.resolve(), out, public, quick=chosen.quick)
    cells = judge(options, chosen.only or list(MODULES))
    table.write(cells, out)
    print(f"\n{table.markdown(cells)}")
    wrong = [cell for cell in cells if not cell.passed and not (cell.result == "skipped" and chosen.offline)]
    passed, skipped = sum(cell.passed for cell in cells), sum(cell.result == "skipped" for cell in cells)
    print(f"{passed} of {len(cells)} cells passed, {skipped} were skipped; the table is in {out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
