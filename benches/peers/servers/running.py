"""A server while it runs: started on its cores, asked until it answers rightly, ended with all its processes."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen

import process
from options import HERE
from servers.systems import System

START_SECONDS = 90


class NotRunning(Exception):
    """A server that could not be started, with the end of its log."""


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    system: System
    process: Popen
    url: str

    def ask(self, text: str) -> tuple[str, float]:
        """Label and score of one text."""
        body = json.dumps(self.system.body(text)).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return self.system.read(json.load(answer))

    def answers(self, text: str) -> bool:
        """Whether it answers already; a server that says no while it starts is asked again."""
        try:
            self.ask(text)
        except (OSError, http.client.HTTPException):
            return False
        return True


@contextmanager
def running(system: System, cores: list[int], work: Path) -> Iterator[Running]:
    """Starts a server and ends it afterwards, whatever happens."""
    port = process.free_port()
    slug = "".join(c if c.isalnum() else "-" for c in f"{system.name} {system.setting}".lower())
    folder = work / "servers" / slug
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    with log.open("wb") as file:
        launch = system.launch(port, folder)
        child = process.start(launch.command, cores, launch.environment, file, stdout=file, stdin=DEVNULL, cwd=HERE)
        server = Running(system, child, f"http://127.0.0.1:{port}{system.path}")
        try:
            try:
                process.wait_until(lambda: server.answers("a first text"), child, START_SECONDS)
            except RuntimeError as reason:
                raise NotRunning(
                    f"{system.name} ({system.setting}) {reason}; its log ends:\n{process.tail(log)}"
                ) from None
            yield server
        finally:
            process.stop(child)
