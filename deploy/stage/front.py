"""The addresses at which a platform answers for its containers, and `curl` to them.

The platform ends TLS and hands the bytes on: what the real curl sends is what the container gets.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .door import join
from .programs import Call
from .refusal import Refusal, require

Connect = Callable[[], socket.socket]
URL = re.compile(r"(https?)://([^/:]+)(?::(\d+))?(/.*)?|([a-z0-9.-]+):(\d+)(/.*)?")


class Front:
    """A port of this machine from which connections are handed on."""

    def __init__(self, connect: Connect) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(connect,), daemon=True).start()

    def _accept(self, connect: Connect) -> None:
        while True:
            outside, _ = self._listener.accept()
            threading.Thread(target=self._hand_on, args=(outside, connect), daemon=True).start()

    @staticmethod
    def _hand_on(outside: socket.socket, connect: Connect) -> None:
        try:
            inside = connect()
        except (OSError, Refusal):
            outside.close()
            return
        inside.settimeout(None)
        join(outside, inside)


@dataclass
class Fronts:
    """The platform's addresses: host and port, and which port of this machine stands for them."""

    at: dict[tuple[str, int], int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def open(self, host: str, port: int, connect: Connect) -> None:
        """Has an address answer."""
        self.at[host, port] = Front(connect).port

    def curl(self, call: Call) -> str:
        """The real curl, led to the platform's addresses, with the headers that the platform adds."""
        words, found = [], False
        for word in call.words:
            if match := URL.fullmatch(word):
                words.append(self._led(match))
                found = True
            else:
                words.append(word)
        require(found, "no URL specified")
        added = [part for pair in self.headers.items() for part in ("--header", ": ".join(pair))]
        return self.run([*added, *words], call)

    def _led(self, match: re.Match[str]) -> str:
        scheme, host, port, path, bare, bare_port, bare_path = match.groups()
        host = host or bare
        number = int(port or bare_port or {"http": 80, "https": 443}[scheme])
        # What opens the address may have been started in the background, a moment ago.
        deadline = time.monotonic() + 2
        while (host, number) not in self.at and time.monotonic() < deadline:
            time.sleep(0.01)
        require((host, number) in self.at, f"(6) Could not resolve host: {host}, or nothing at port {number}")
        return f"http://{host}:{number}{path or bare_path or '/'}"

    def run(self, words: list[str], call: Call) -> str:
        """The real curl."""
        curl = shutil.which("curl")
        require(curl, "curl is needed")
        leads = [f"{host}:{port}:127.0.0.1:{front}" for (host, port), front in self.at.items()]
        given = [part for lead in leads for part in ("--connect-to", lead)]
        ran = subprocess.run([str(curl), *given, *words], cwd=call.folder, capture_output=True, check=False)
        if ran.returncode != 0:
            raise Refusal(f"curl ended with {ran.returncode}: {ran.stderr.decode()}")
        return ran.stdout.decode(errors="replace")
