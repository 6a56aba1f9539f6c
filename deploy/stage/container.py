"""A container as a platform runs it: its arguments, variables, folders and user, and then its end.

Three engines do it. `Image` runs the image by Docker or Podman. Without an image the binary takes its place, as the
Dockerfile says it starts: `Confined` in Linux namespaces, on a read-only root of its own, as an ordinary user without
capabilities; and where the system has no namespaces to give, `Told`, to which the container's address and folders are
told by settings instead.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .dockerfile import Description
from .refusal import Refusal, require

HERE = Path(__file__).resolve().parent
FOREIGN_USER, FOREIGN_GROUP = 12345, 0
START_SECONDS = 10


@dataclass
class Mount:
    """A folder or a file that the platform puts into the container."""

    source: Path
    target: str
    writable: bool = False


@dataclass
class Wanted:
    """What the platform says of a container."""

    arguments: list[str] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    user: tuple[int, int] = (FOREIGN_USER, FOREIGN_GROUP)
    # Whether it will be asked at a port; one that will not may end at any moment.
    listens: bool = True


class Container(Protocol):
    """A container that runs."""

    def connect(self, port: int, timeout: float) -> socket.socket:
        """A connection to one of its ports; ConnectionRefusedError when nothing listens there."""

    def path(self, target: str) -> str:
        """What the container calls a folder that it was given."""

    def signal(self, number: int) -> None:
        """Sends a signal to its process."""

    def wait(self, seconds: float) -> int | None:
        """Its exit code, when it ends in time."""

    def log(self) -> str:
        """What it wrote."""


class Engine(Protocol):
    """What runs containers."""

    image: Description

    def start(self, wanted: Wanted) -> Container:
        """Starts one."""

    def close(self) -> None:
        """Kills what still runs: a test that failed leaves it behind."""


def stop(container: Container, seconds: float) -> float:
    """Ends a container as every platform does: SIGTERM, and it has so many seconds. Returns how many it took."""
    begun = time.monotonic()
    container.signal(signal.SIGTERM)
    code = container.wait(seconds)
    if code is None:
        container.signal(signal.SIGKILL)
        raise Refusal(f"the container did not end within {seconds} s of SIGTERM and was killed\n{container.log()}")
    require(code == 0, f"the container ended with code {code} after SIGTERM, expected 0\n{container.log()}")
    return time.monotonic() - begun


class _Process:
    """A process of this machine that stands for a container."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: str) -> None:
        self._log = tempfile.TemporaryFile()
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int | None:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def log(self) -> str:
        return _tail(os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace"))


def _kill(processes: Sequence[_Process]) -> None:
    for process in processes:
        process.process.kill()
        process.process.wait()


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-20:])


def through_door(door: Path, port: int, timeout: float) -> socket.socket:
    """A connection through the door of a container's network."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    connection.connect(str(door))
    connection.sendall(port.to_bytes(2, "big"))
    if connection.recv(1) != b"y":
        connection.close()
        raise ConnectionRefusedError(f"nothing listens on port {port} of the container")
    return connection


def await_door(door: Path, alive: subprocess.Popen[bytes]) -> None:
    """Waits until the door of a container is there."""
    deadline = time.monotonic() + START_SECONDS
    while not door.exists():
        require(alive.poll() is None and time.monotonic() < deadline, "the container did not start")
        time.sleep(0.005)


class _ConfinedContainer(_Process):
    def __init__(self, plan: dict[str, object], unshare: list[str]) -> None:
        self._door = Path(str(plan["door"]))
        super().__init__([*unshare, sys.executable, "-I", str(HERE / "confine.py"), json.dumps(plan)], {}, "/")
        try:
            await_door(self._door, self.process)
        except Refusal as refusal:
            self.process.kill()
            raise Refusal(f"{refusal}\n{self.log()}") from None

    def connect(self, port: int, timeout: float) -> socket.socket:
        return through_door(self._door, port, timeout)

    def path(self, target: str) -> str:
        return target


class Confined:
    """Runs the binary in namespaces, on a root of only what the image would hold."""

    def __init__(self, binary: Path, models: Path, image: Description) -> None:
        self.image = image
        self._started: list[_ConfinedContainer] = []
        self._binds = [
            [str(binary), "/usr/local/bin/sconce", "ro"],
            [str(models), "/models", "ro"],
            ["/proc", "/proc", "rw"],
            *([device, device, "rw"] for device in ("/dev/null", "/dev/zero", "/dev/urandom")),
            *([library, library, "ro"] for library in _libraries(binary)),
        ]

    @staticmethod
    def unshare() -> list[str]:
        """The command that gives new namespaces."""
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        return ["unshare", *user, "--mount", "--net"]

    @classmethod
    def works(cls) -> bool:
        """Whether this system gives namespaces."""
        if shutil.which("unshare") is None:
            return False
        with tempfile.TemporaryDirectory() as folder:
            mounting = subprocess.run([*cls.unshare(), "mount", "-t", "tmpfs", "t", folder], capture_output=True)
        return mounting.returncode == 0

    def start(self, wanted: Wanted) -> _ConfinedContainer:
        """Starts a container."""
        folder = Path(tempfile.mkdtemp(prefix="container-"))
        folder.chmod(0o755)
        root = folder / "root"
        root.mkdir()
        mounts = [[str(mount.source), mount.target, "rw" if mount.writable else "ro"] for mount in wanted.mounts]
        plan = {
            "root": str(root),
            "door": str(folder / "door"),
            "binds": [*self._binds, *mounts],
            "folder": self.image.folder,
            "user": wanted.user[0],
            "group": wanted.user[1],
            "environment": self.image.environment | wanted.environment,
            "command": command(self.image, wanted),
        }
        self._started.append(_ConfinedContainer(plan, self.unshare()))
        return self._started[-1]

    def close(self) -> None:
        """Kills what still runs."""
        _kill(self._started)


def command(image: Description, wanted: Wanted) -> list[str]:
    """What the container's process is started with."""
    return [*image.entrypoint, *(image.command if wanted.arguments is None else wanted.arguments)]


def _libraries(binary: Path) -> list[str]:
    listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
    words = (word for line in listed.splitlines() for word in line.split())
    return [word for word in words if word.startswith("/")]


class _ToldContainer(_Process):
    def __init__(self, command: list[str], environment: dict[str, str], told: tuple[str, list[Mount]]) -> None:
        self._address, self._mounts = told
        super().__init__(command, environment, str(HERE.parents[1]))

    def connect(self, port: int, timeout: float) -> socket.socket:
        return socket.create_connection((self._address, port), timeout)

    def path(self, target: str) -> str:
        return _moved(target, self._mounts)


class Told:
    """Runs the binary as an ordinary process: an address of 127.0.0.0/8 is the container's, and paths are changed."""

    _numbers = itertools.count(1)

    def __init__(self, binary: Path, image: Description) -> None:
        self.image, self._binary = image, binary
        self._started: list[_ToldContainer] = []

    def start(self, wanted: Wanted) -> _ToldContainer:
        """Starts a container."""
        number = next(self._numbers)
        address = f"127.{os.getpid() % 250 + 1}.{number // 250}.{number % 250 + 1}"
        moved = {name: _moved(value, wanted.mounts) for name, value in wanted.environment.items()}
        environment = self.image.environment | moved | {"SCONCE_HTTP__HOST": address}
        if any(mount.target == "/opt/ml/model" for mount in wanted.mounts):
            environment.setdefault("SCONCE_MODELS__DIRECTORY", _moved("/opt/ml/model", wanted.mounts))
        if any(mount.target == "/opt/ml" for mount in wanted.mounts):
            environment.setdefault("SAGEMAKER_BASE_DIR", _moved("/opt/ml", wanted.mounts))
        words = [_moved(word, wanted.mounts) for word in command(self.image, wanted)]
        told = (address, wanted.mounts)
        self._started.append(_ToldContainer([str(self._binary), *words[1:]], environment, told))
        return self._started[-1]

    def close(self) -> None:
        """Kills what still runs."""
        _kill(self._started)


def _moved(text: str, mounts: list[Mount]) -> str:
    for mount in mounts:
        text = text.replace(mount.target, str(mount.source))
    return text
