"""The image itself, run by Docker, or by Podman where no Docker engine runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from .container import HERE, Wanted, await_door, through_door
from .dockerfile import Description


class Image:
    """Runs containers of an image, each in a network of its own."""

    def __init__(self, name: str, image: Description) -> None:
        self.name = name
        self._started: list[_ImageContainer] = []
        docker = subprocess.run(["docker", "info"], capture_output=True, check=False) if _has("docker") else None
        if docker is not None and docker.returncode == 0:
            self._engine, self._bounds = ["docker"], []
        else:
            # runc, and small bounds on processes and files, run where a container is not given more.
            self._engine = ["podman", "--runtime", "runc"]
            self._bounds = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        labels = json.loads(_output([*self._engine, "image", "inspect", "--format", "{{json .Config.Labels}}", name]))
        self.image = replace(image, labels=labels or {})

    def start(self, wanted: Wanted) -> _ImageContainer:
        """Starts a container, as strictly as any platform does."""
        user, group = wanted.user
        mounts = [f"{mount.source}:{mount.target}:{'rw' if mount.writable else 'ro'}" for mount in wanted.mounts]
        strict = ["--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"]
        strict += ["--network", "none", "--no-healthcheck"]
        given = [word for mount in mounts for word in ("--volume", mount)]
        given += [word for pair in wanted.environment.items() for word in ("--env", "=".join(pair))]
        run = [*self._engine, "run", "--detach", "--user", f"{user}:{group}", *strict, *self._bounds, *given]
        identity = _output([*run, self.name, *(wanted.arguments or [])])
        self._started.append(_ImageContainer(self._engine, identity, wanted.listens))
        return self._started[-1]

    def close(self) -> None:
        """Removes the containers, with what still runs."""
        for container in self._started:
            container.remove()


class _ImageContainer:
    def __init__(self, engine: list[str], identity: str, listens: bool) -> None:
        self._engine, self._identity = engine, identity
        self._porter: subprocess.Popen[bytes] | None = None
        if listens:
            self._open_door()

    def _open_door(self) -> None:
        pid = self._inspect("{{.State.Pid}}")
        self._door = Path(tempfile.mkdtemp(prefix="container-")) / "door"
        inside = [sys.executable, "-I", str(HERE / "door.py"), str(self._door)]
        enter = ["nsenter", "--target", pid, "--net", *inside]
        self._porter = subprocess.Popen(enter if os.geteuid() == 0 else ["sudo", *enter])
        await_door(self._door, self._porter)

    def connect(self, port: int, timeout: float) -> socket.socket:
        return through_door(self._door, port, timeout)

    def path(self, target: str) -> str:
        return target

    def signal(self, number: int) -> None:
        _output([*self._engine, "kill", "--signal", signal.Signals(number).name, self._identity])

    def wait(self, seconds: float) -> int | None:
        waiting = [*self._engine, "wait", self._identity]
        try:
            code = subprocess.run(waiting, capture_output=True, text=True, check=True, timeout=seconds).stdout
        except subprocess.TimeoutExpired:
            return None
        return int(code)

    def remove(self) -> None:
        """Leaves nothing behind."""
        _output([*self._engine, "rm", "--force", self._identity])
        if self._porter is not None:
            self._porter.kill()
            self._porter.wait()

    def log(self) -> str:
        logged = subprocess.run([*self._engine, "logs", "--tail", "20", self._identity], capture_output=True, text=True)
        return logged.stdout + logged.stderr

    def _inspect(self, template: str) -> str:
        return _output([*self._engine, "inspect", "--format", template, self._identity])


def _has(program: str) -> bool:
    return any(os.access(os.path.join(folder, program), os.X_OK) for folder in os.environ["PATH"].split(":"))


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
