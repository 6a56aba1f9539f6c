"""Becomes a process as a container has it, from inside of new mount and network namespaces.

Reads a JSON plan: a root of nothing but what is bound into it, read-only; an ordinary user without capabilities; no
variable but those given; a network of its own, to which `door` leads. It is the image without an engine that runs it.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import door

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOATIME, MS_BIND, MS_REC, MS_PRIVATE, MS_RELATIME = 32, 1024, 4096, 16384, 1 << 18, 1 << 21
KEPT_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Confines this process by the plan in its one argument, and becomes the server."""
    plan = json.loads(sys.argv[1])
    raise_loopback()
    server = os.pidfd_open(os.getpid())
    if os.fork() == 0:
        threading.Thread(target=end_with, args=[server], daemon=True).start()
        door.serve(plan["door"])
    build_root(plan["root"], plan["binds"])
    os.chroot(plan["root"])
    os.chdir(plan["folder"])
    drop_privileges(plan["user"], plan["group"])
    program, *arguments = plan["command"]
    os.execve(find(program, plan["environment"]["PATH"]), [program, *arguments], plan["environment"])


def end_with(server: int) -> None:
    """Ends this process when the server does. A signal at its death would not do: an ordinary user may send none here."""
    select.select([server], [], [])
    os._exit(0)


def raise_loopback() -> None:
    """A new network has a loopback that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", IFF_UP_RUNNING, b""))


def build_root(root: str, binds: list[list[str]]) -> None:
    """A root file system of `[source, target, "ro" or "rw"]`, and no more."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("root", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for source, target, mode in binds:
        place = Path(root + target)
        if os.path.isdir(source):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        mount(source, str(place), None, MS_BIND | MS_REC)
        if mode == "ro":
            kept = os.statvfs(place).f_flag & KEPT_FLAGS
            mount(None, str(place), None, MS_BIND | MS_REMOUNT | MS_RDONLY | kept)
    mount(None, root, None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    words = [word.encode() if word else None for word in (source, target, kind, data)]
    if libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {source} {target}: {os.strerror(error)}")


def drop_privileges(user: int, group: int) -> None:
    """Another user where there are others, and no capability in any case."""
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if Path("/proc/self/uid_map").read_bytes().split()[2] != b"1":
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def find(program: str, path: str) -> str:
    """The program's file, as an engine looks for it."""
    folders = [""] if "/" in program else path.split(":")
    for folder in folders:
        file = os.path.join(folder, program)
        if os.access(file, os.X_OK):
            return file
    sys.exit(f"{program}: not found in {path}")


if __name__ == "__main__":
    main()
