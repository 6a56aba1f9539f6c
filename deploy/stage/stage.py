"""Follows READMEs: their commands run in order, in a shell, and print what the README prints below them."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .console import agrees, steps
from .container import Engine
from .programs import Player, Programs
from .refusal import Refusal

COMMAND_SECONDS = 120
# What README commands read of the repository; what they write stays out of it.
READ = ("Dockerfile", "deploy", "examples", "models", "tests", "config")


@dataclass
class Stage:
    """Where a README is followed: the repository, and what runs containers."""

    root: Path
    engine: Engine

    def follow(self, readme: str, players: Mapping[str, Player]) -> None:
        """Runs every command of a README to the letter."""
        print(f"-- {readme}", flush=True)
        with tempfile.TemporaryDirectory(prefix="desk-") as folder:
            desk = Path(folder) / "repository"
            desk.mkdir()
            for name in READ:
                (desk / name).symlink_to(self.root / name)
            programs = Programs(Path(folder) / "bin", players)
            environment = {"PATH": programs.search_path(), "HOME": folder, "LANG": "C.UTF-8"}
            for step in steps(self.root / readme):
                self._run(step.command, step.output, (desk, environment))

    @staticmethod
    def _run(command: str, printed: str, where: tuple[Path, dict[str, str]]) -> None:
        desk, environment = where
        begun = time.monotonic()
        print(f"$ {command}", flush=True)
        shell = subprocess.run(
            ["bash", "-c", command],
            cwd=desk,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if shell.returncode != 0:
            raise Refusal(f"exit code {shell.returncode}\n{shell.stdout}{shell.stderr}")
        if not agrees(shell.stdout, printed):
            raise Refusal(f"printed in the README:\n{printed}\nfound:\n{shell.stdout}{shell.stderr}")
        print(f"{shell.stdout}   ({time.monotonic() - begun:.2f} s)", flush=True)
