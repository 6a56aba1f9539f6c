"""The way to a container's ports from outside of its network: a Unix socket at which a port is asked for.

Whoever connects sends two bytes, the port, and gets `y` and the connection, or `n` when nothing listens there. Runs
inside of the container's network.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

CHUNK = 65536


def serve(path: str) -> None:
    """Opens the door; never returns."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1024)
    while True:
        outside, _ = listener.accept()
        threading.Thread(target=_let_in, args=(outside,), daemon=True).start()


def _let_in(outside: socket.socket) -> None:
    port = int.from_bytes(outside.recv(2, socket.MSG_WAITALL), "big")
    try:
        inside = socket.create_connection(("127.0.0.1", port))
    except OSError:
        outside.sendall(b"n")
        outside.close()
        return
    outside.sendall(b"y")
    join(outside, inside)


def join(one: socket.socket, other: socket.socket) -> None:
    """Carries bytes both ways until both sides have ended."""
    back = threading.Thread(target=_carry, args=(other, one), daemon=True)
    back.start()
    _carry(one, other)
    back.join()
    one.close()
    other.close()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK):
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    serve(sys.argv[1])
