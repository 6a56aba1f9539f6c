"""Sconce as a child process, on ports that are free."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

COUNTED = re.compile(r'^sconce_requests_total\{.*\} (\d+)', re.MULTILINE)
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 40


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server. `ours` is how many of its requests the suite itself made, beside the clients."""

    def __init__(self, binary: Path, models: Path, log: Path, *, flags: tuple[str, ...], env: dict[str, str]) -> None:
        self.port, self.grpc_port, self.admin_port = free_port(), free_port(), free_port()
        self.ours = 0
        self.log = log
        command = [
            str(binary), "serve", "--models", str(models), "--port", str(self.port),
            "--admin", f"127.0.0.1:{self.admin_port}", "--set", f"http.grpc_port={self.grpc_port}",
            "--set", "log.filter=warn", *flags,
        ]
        variables = {key: value for key, value in os.environ.items() if not key.startswith("SCONCE_")}
        with log.open("wb") as errors:
            self.process = subprocess.Popen(command, env=variables | env, stdout=subprocess.DEVNULL, stderr=errors)
        self.url = f"http://127.0.0.1:{self.port}"
        self.host = f"127.0.0.1:{self.port}"
        self.grpc = f"127.0.0.1:{self.grpc_port}"
        self.admin = f"http://127.0.0.1:{self.admin_port}"
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                self.fetch("/health/ready")
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"the server did not become ready; its log:\n{self.log.read_text()}")

    def fetch(self, path: str, body: bytes | None = None, content_type: str = "application/json") -> bytes:
        """Asks the server for the suite itself; the request is not counted as a client's."""
        request = urllib.request.Request(self.url + path, body, {"content-type": content_type})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.ours += 1
                return answer.read()
        except urllib.error.HTTPError:
            self.ours += 1
            raise

    def requests(self) -> int:
        """Requests that clients made of it since it started, calls of gRPC among them."""
        counted = sum(int(count) for count in COUNTED.findall(self.fetch("/metrics").decode()))
        # The request for the figures is counted only when it has been answered.
        return counted - (self.ours - 1)

    def cpu_seconds(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ends it as a platform does: SIGTERM, and its exit code must be 0."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise RuntimeError(f"the server did not end within {STOP_SECONDS_MAX} s of SIGTERM") from None
        if code != 0:
            raise RuntimeError(f"the server ended with {code}; its log:\n{self.log.read_text()}")
