"""Triton's Python client: over HTTP and gRPC, each with its blocking and its asyncio half, through the same checks."""

from __future__ import annotations

import asyncio

import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio

from ..cells import Client
from ..world import World
from . import triton_checks  # noqa: F401: it marks the checks
from .triton_session import CHECKS, Body, Session, Transport

TRANSPORTS = [
    Transport("triton-http", "tritonclient HTTP", tritonclient.http, grpc=False, waits=False),
    Transport("triton-http-aio", "tritonclient HTTP asyncio", tritonclient.http.aio, grpc=False, waits=True),
    Transport("triton-grpc", "tritonclient gRPC", tritonclient.grpc, grpc=True, waits=False),
    Transport("triton-grpc-aio", "tritonclient gRPC asyncio", tritonclient.grpc.aio, grpc=True, waits=True),
]


def client_of(transport: Transport) -> Client:
    """The client of a transport, with every check that suits it."""
    client = Client(transport.key, transport.title, "tritonclient")
    protocol = "OIP gRPC" if transport.grpc else "OIP REST"
    for contract, server, only, body in CHECKS:
        if not transport.key.startswith(only):
            continue

        def run(world: World, server: str = server, body: Body = body) -> None:
            async def whole() -> None:
                session = Session(transport, world.server(server))
                try:
                    await body(world, session)
                finally:
                    await session.close()

            asyncio.run(whole())

        client.contract(f"{protocol}: {contract}")(run)
    return client


CLIENTS = [client_of(transport) for transport in TRANSPORTS]
