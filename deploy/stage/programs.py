"""Programs that stand first in PATH for a README's commands and are played by this process.

Each is a few lines that send their words, folder and standard input through a socket, write what comes back and end
with its code. So what they play lives as long as the README is followed, and remembers.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .refusal import Refusal

PROGRAM = """#!{python} -I
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as there:
    there.connect({socket!r})
    call = {{"words": sys.argv, "folder": os.getcwd()}}
    there.sendall(json.dumps(call).encode() + b"\\n")
    answer = json.loads(there.makefile().readline())
sys.stdout.write(answer["out"])
sys.stderr.write(answer["err"])
sys.exit(answer["code"])
"""


@dataclass
class Call:
    """What a program was called with."""

    words: list[str]
    folder: Path

    def file(self, name: str) -> Path:
        """A file or folder that the caller names, which has to be there."""
        path = self.folder / name
        if not path.exists():
            raise Refusal(f"{name}: no such file or directory")
        return path


Player = Callable[[Call], str]


@dataclass
class Programs:
    """The programs of one README."""

    folder: Path
    players: Mapping[str, Player]
    _listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        path = str(self.folder / ".players")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        for name in self.players:
            program = self.folder / name
            program.write_text(PROGRAM.format(python=sys.executable, socket=path), encoding="utf-8")
            program.chmod(0o755)
        threading.Thread(target=self._play, daemon=True).start()

    def search_path(self) -> str:
        """PATH with the programs first."""
        return f"{self.folder}:{os.environ['PATH']}"

    def _play(self) -> None:
        while True:
            there, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=(there,), daemon=True).start()

    def _answer(self, there: socket.socket) -> None:
        with there, there.makefile("r") as lines:
            said = json.loads(lines.readline())
            name, words = Path(said["words"][0]).name, said["words"][1:]
            try:
                answer = {"out": self.players[name](Call(words, Path(said["folder"]))), "err": "", "code": 0}
            except Refusal as refusal:
                answer = {"out": "", "err": f"{name}: {refusal}\n", "code": 1}
            except Exception:  # The player itself is at fault: whoever mends it wants to see where.
                answer = {"out": "", "err": traceback.format_exc(), "code": 70}
            there.sendall(json.dumps(answer).encode() + b"\n")
