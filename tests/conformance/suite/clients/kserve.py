"""KServe's Python client: version 1, version 2 over REST and over gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import httpx
import numpy
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

from ..cells import Client, refused, same
from ..world import PICTURE, PICTURE_MODEL, SENTENCES, TEXT_MODEL, World, bits

CLIENT = Client("kserve", "KServe's InferenceClient", "kserve")


def rest(protocol: str) -> InferenceRESTClient:
    return InferenceRESTClient(RESTConfig(protocol=protocol, retries=1, timeout=30))


def texts(*, binary: bool) -> InferRequest:
    tensor = InferInput("text", [len(SENTENCES), 1], "BYTES")
    tensor.set_data_from_numpy(numpy.array([[text] for text in SENTENCES], dtype=object), binary_data=binary)
    return InferRequest(TEXT_MODEL, [tensor], request_id="a request")


def outputs(sent: str, world: World, answer: Any) -> None:
    named = {output.name: output for output in answer.outputs}
    same(sent, bits(world.text_scores), bits(named["scores"].as_numpy()))
    # The client drops the version of an answer over REST.
    same(sent, (TEXT_MODEL, "a request"), (answer.model_name, answer.id))


@CLIENT.contract("KServe v1: readiness, predict, errors")
def version_one(world: World) -> None:
    server = world.server()

    async def whole() -> None:
        async with rest("v1") as client:
            same("is_model_ready(sentiment)", True, await client.is_model_ready(server.url, TEXT_MODEL))
            for key, wanted in (("instances", "predictions"), ("inputs", "outputs")):
                answer = await client.infer(server.url, {key: SENTENCES}, model_name=TEXT_MODEL)
                same(key, bits(world.text_scores), bits(answer[wanted]))
            with refused("predict with sentimnt", httpx.HTTPStatusError, "sentimnt", "404"):
                await client.infer(server.url, {"instances": SENTENCES}, model_name="sentimnt")
            with refused("is_model_ready(sentimnt)", httpx.HTTPStatusError, "404"):
                await client.is_model_ready(server.url, "sentimnt")
            with refused("predict without instances", httpx.HTTPStatusError, "400"):
                await client.infer(server.url, {"nothing": []}, model_name=TEXT_MODEL)
            with refused("explain", httpx.HTTPStatusError, "501"):
                await client.explain(server.url, TEXT_MODEL, {"instances": SENTENCES})

    asyncio.run(whole())


@CLIENT.contract("OIP REST: health, infer with JSON and with bytes, errors")
def version_two(world: World) -> None:
    server = world.server()

    async def whole() -> None:
        async with rest("v2") as client:
            same("is_server_live", True, await client.is_server_live(server.url))
            same("is_server_ready", True, await client.is_server_ready(server.url))
            same("is_model_ready(sentiment)", True, await client.is_model_ready(server.url, TEXT_MODEL))
            same("is_model_ready(sentimnt)", False, await client.is_model_ready(server.url, "sentimnt"))
            for binary in (False, True):
                answer = await client.infer(server.url, texts(binary=binary), model_name=TEXT_MODEL)
                outputs(f"infer, binary {binary}", world, answer)
                request = texts(binary=binary)
                request.parameters = {"binary_data_output": True}
                answer = await client.infer(server.url, request, model_name=TEXT_MODEL)
                outputs(f"infer, binary {binary}, outputs as bytes", world, answer)
            with refused("infer with sentimnt", httpx.HTTPStatusError, "Request for unknown model: 'sentimnt'", "404"):
                await client.infer(server.url, texts(binary=False), model_name="sentimnt")

    asyncio.run(whole())


@CLIENT.contract("OIP REST: pictures as bytes")
def picture(world: World) -> None:
    server = world.server()

    async def whole() -> None:
        async with rest("v2") as client:
            tensor = InferInput("image", [1, 1], "BYTES")
            tensor.set_data_from_numpy(numpy.array([[PICTURE.read_bytes()]], dtype=object), binary_data=True)
            answer = await client.infer(server.url, InferRequest(PICTURE_MODEL, [tensor]), model_name=PICTURE_MODEL)
            scores = next(output for output in answer.outputs if output.name == "scores")
            same(PICTURE.name, bits(world.picture_scores), bits(scores.as_numpy()))

    asyncio.run(whole())


@CLIENT.contract("OIP gRPC: health, infer, errors")
def over_grpc(world: World) -> None:
    server = world.server()

    async def whole() -> None:
        # On the port of its own, and on the one that HTTP is on.
        for address in (server.grpc, server.host):
            async with InferenceGRPCClient(address) as client:
                same("is_server_live", True, await client.is_server_live())
                same("is_server_ready", True, await client.is_server_ready())
                same("is_model_ready(sentiment)", True, await client.is_model_ready(TEXT_MODEL))
                outputs("infer", world, await client.infer(texts(binary=True)))
                request = InferRequest("sentimnt", texts(binary=True).inputs)
                with refused("infer with sentimnt", grpc.RpcError, "Request for unknown model: 'sentimnt'"):
                    await client.infer(request)

    asyncio.run(whole())


CLIENTS = [CLIENT]
