"""Triton's Python client in its four forms, as one: what the checks call, whichever form it is."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy

from ..servers import Server
from ..world import World


@dataclass(frozen=True)
class Transport:
    """One of the client's four forms."""

    key: str
    title: str
    module: ModuleType
    grpc: bool
    waits: bool

    def connect(self, server: Server) -> Any:
        return self.module.InferenceServerClient(server.grpc if self.grpc else server.host)

    def input(self, name: str, data: numpy.ndarray, datatype: str, *, binary: bool = True) -> Any:
        tensor = self.module.InferInput(name, list(data.shape), datatype)
        if self.grpc:
            tensor.set_data_from_numpy(data)
        else:
            tensor.set_data_from_numpy(data, binary_data=binary)
        return tensor

    def texts(self, texts: list[str], *, binary: bool = True) -> Any:
        data = numpy.array([[text.encode()] for text in texts], dtype=object)
        return self.input("text", data, "BYTES", binary=binary)

    def output(self, name: str, *, binary: bool = True, classes: int = 0) -> Any:
        if self.grpc:
            return self.module.InferRequestedOutput(name, class_count=classes)
        return self.module.InferRequestedOutput(name, binary_data=binary, class_count=classes)

    @property
    def forms(self) -> tuple[bool, ...]:
        """Whether tensors go as bytes; over HTTP they may also go as JSON."""
        return (True,) if self.grpc else (True, False)


class Session:
    """A connected client: `ask` calls any of its methods, blocking or not."""

    def __init__(self, transport: Transport, server: Server) -> None:
        self.transport = transport
        self.client = transport.connect(server)

    async def ask(self, method: str, *args: Any, **options: Any) -> Any:
        answer = getattr(self.client, method)(*args, **options)
        return await answer if inspect.isawaitable(answer) else answer

    async def show(self, method: str, *args: Any, **options: Any) -> Any:
        """The same for what is described in JSON over HTTP and in messages over gRPC, as JSON."""
        if self.transport.grpc:
            options["as_json"] = True
        return await self.ask(method, *args, **options)

    async def close(self) -> None:
        await self.ask("close")


Body = Callable[[World, Session], Awaitable[None]]
CHECKS: list[tuple[str, str, str, Body]] = []


def check(contract: str, server: str = "plain", only: str = "") -> Callable[[Body], Body]:
    """Marks a check, which is run with each transport whose key begins with `only`."""

    def mark(body: Body) -> Body:
        CHECKS.append((contract, server, only, body))
        return body

    return mark
