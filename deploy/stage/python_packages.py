"""The Python packages that manifests are read and checked with, in an environment of their own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import sysconfig
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")

# What was not checked, and why, to be said at the end.
missed: list[str] = []


def reach(folder: Path) -> None:
    """Has this process find the packages: installs them, unless the same ones are there from before."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    mark = folder / "installed"
    if not (mark.exists() and mark.read_text(encoding="ascii") == wanted):
        if problem := _install(folder):
            missed.append(
                f"PyPI could not be reached or installed from, so NO MANIFEST WAS CHECKED AGAINST ITS SCHEMA: {problem}"
            )
            print(f"warning: {missed[-1]}", flush=True)
            return
        mark.write_text(wanted, encoding="ascii")
    sys.path.append(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))


def _install(folder: Path) -> str:
    """What went wrong; nothing when all is there."""
    python = folder / "bin/python"
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)],
    ):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            return (ran.stderr.strip() or ran.stdout.strip() or "it says nothing").splitlines()[-1]
    return ""
