"""`grpcurl` for calls that ask one name and get one number back: health, and whether a model is ready.

The real curl carries it: HTTP/2 without TLS from its first byte, as a platform's front speaks to a container. Before a
call the server is asked for the service's description, as the program does.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from .front import Fronts
from .options import Grammar, parse
from .programs import Call
from .refusal import require

REFLECTION = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
# Of each method: its request's only member, and its answer's only member by the numbers that may come back.
METHODS: dict[str, tuple[str, str, dict[int, str | bool]]] = {
    "grpc.health.v1.Health/Check": ("service", "status", {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING"}),
    "inference.GRPCInferenceService/ModelReady": ("name", "ready", {0: False, 1: True}),
}


def grpcurl(fronts: Fronts, call: Call) -> str:
    """`grpcurl [-d '{"name": …}'] HOST:PORT SERVICE/METHOD`."""
    given = parse(call.words, Grammar(optional=("-d",), flags=("-plaintext",), positional=2))
    address, method = given.positional
    require(method in METHODS, f"{method} is not played here")
    member, answer, meanings = METHODS[method]
    said = json.loads(given.get("-d", "{}"))
    require(set(said) <= {member}, f"message type has no known field named {sorted(set(said) - {member})}")
    service = method.partition("/")[0]
    described = _call(fronts, call, (address, REFLECTION), _text_field(4, service))
    require(service.encode() in described, f'server does not expose service "{service}"')
    number = _number(_call(fronts, call, (address, method), _text_field(1, said.get(member, ""))))
    return json.dumps({answer: meanings[number]}, indent=2) + "\n"


def _call(fronts: Fronts, call: Call, where: tuple[str, str], message: bytes) -> bytes:
    address, method = where
    with TemporaryDirectory() as folder:
        sent, heads, got = (Path(folder) / name for name in ("sent", "heads", "got"))
        sent.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        headers = ["--header", "content-type: application/grpc", "--header", "te: trailers"]
        files = ["--data-binary", f"@{sent}", "--dump-header", str(heads), "--output", str(got)]
        words = ["-sS", "--http2-prior-knowledge", *headers, *files, f"http://{address}/{method}"]
        fronts.run(words, call)
        # Trailers stand after the header, in the same file.
        lines = dict(line.lower().split(": ", 1) for line in heads.read_text().splitlines() if ": " in line)
        require(lines.get("grpc-status") == "0", f"{method}: {lines}")
        answer = got.read_bytes()
    require(len(answer) >= 5 and answer[0] == 0, f"{method} answered {answer!r}, expected a message")
    return answer[5:]


def _text_field(number: int, text: str) -> bytes:
    body = text.encode()
    return bytes([number << 3 | 2, len(body)]) + body if body else b""


def _number(message: bytes) -> int:
    require(message == b"" or (len(message) == 2 and message[0] == 1 << 3), f"{message!r}: expected one number")
    return message[1] if message else 0
