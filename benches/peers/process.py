"""Processes: started on given cores in a session of their own, weighed with all their children, ended for certain."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
STOP_SECONDS = 10
SERVER_PORTS = (10_000, 32_000)


def start(
    command: Sequence[str | Path], cores: Sequence[int], environment: Mapping[str, str], log: IO[bytes], **more: object
) -> subprocess.Popen:
    """Starts a process pinned to `cores`, with its standard error in `log`."""
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
    variables = {**os.environ, **environment}
    return subprocess.Popen(pinned, env=variables, stderr=log, start_new_session=True, **more)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, which may hold spaces; None when the process is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None


def tree(root: int) -> list[int]:
    """A process, its descendants, and whoever else is in its session."""
    parents, sessions = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) and fields[0] != "Z":
            parents[int(entry)], sessions[int(entry)] = int(fields[1]), int(fields[3])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found or sessions[pid] in found} - found:
        found |= more
    return sorted(found & parents.keys())


def cpu_seconds(root: int) -> float:
    """Processor time of a tree, user and system, with that of children that have ended."""
    fields = [fields for pid in tree(root) if (fields := _stat(pid))]
    return sum(int(value) for entry in fields for value in entry[11:15]) / TICKS


def resident_bytes(root: int) -> int:
    """Resident memory of a tree; shared pages count once for each process."""
    return sum(int(fields[21]) * PAGE for pid in tree(root) if (fields := _stat(pid)))


def stop(process: subprocess.Popen) -> None:
    """Ends a process and its whole tree: asked first, killed after some seconds."""
    members = tree(process.pid)
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    # Children that outlive their parent are adopted by another process, so the list is from before.
    for pid in {*members, *tree(process.pid)}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A port that nobody listens on now, below those that the system gives to connections on their way out."""
    while True:
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", random.randrange(*SERVER_PORTS)))
            return listener.getsockname()[1]


def wait_until(ready: Callable[[], bool], process: subprocess.Popen, seconds: float) -> None:
    """Waits until `ready()` is true; raises when the process ends before, or takes longer."""
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(f"ended with exit code {process.returncode} before it answered")
        if time.monotonic() > end:
            raise RuntimeError(f"did not answer within {seconds:.0f} s")
        time.sleep(0.1)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
