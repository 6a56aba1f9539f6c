"""What no client library sends: raw bodies of the binary tensor extension, the protocol's own examples, odd bodies."""

from __future__ import annotations

import json
import struct

from ..asking import ask, get, has_members, post
from ..cells import Client, holds, same
from ..world import PICTURE, PICTURE_MODEL, SENTENCE, TEXT_MODEL, World, bits

CLIENT = Client("oip-requests", "requests, OIP", "requests")


@CLIENT.contract("OIP REST: raw requests")
def raw(world: World) -> None:
    url = world.server().url
    for model, body, expected in [
        (TEXT_MODEL, SENTENCE.encode(), world.text_scores[0]),
        (PICTURE_MODEL, PICTURE.read_bytes(), world.picture_scores[0]),
    ]:
        headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
        answer = post(f"{url}/v2/models/{model}/infer", data=body, headers=headers)
        length = int(answer.headers["Inference-Header-Content-Length"])
        described = json.loads(answer.content[:length])
        at, scores = length, b""
        for output in described["outputs"]:
            size = output["parameters"]["binary_data_size"]
            if output["name"] == "scores":
                scores = answer.content[at:at + size]
            at += size
        same(f"a raw request of {len(body)} bytes to {model}, length", len(answer.content), at)
        same(f"a raw request of {len(body)} bytes to {model}", bits(expected), scores)


@CLIENT.contract("OIP REST: bytes and JSON in one request")
def mixed(world: World) -> None:
    url = f"{world.server('public').url}/v2/models/simple/infer"
    left = list(range(16))
    tensor = struct.pack("<16i", *([2] * 16))
    described = json.dumps({
        "inputs": [
            {"name": "INPUT0", "datatype": "INT32", "shape": [1, 16], "data": left},
            {"name": "INPUT1", "datatype": "INT32", "shape": [1, 16], "parameters": {"binary_data_size": 64}},
        ],
        "outputs": [{"name": "OUTPUT1", "parameters": {"binary_data": True}}, {"name": "OUTPUT0"}],
    }).encode()
    headers = {"Inference-Header-Content-Length": str(len(described)), "Content-Type": "application/octet-stream"}
    answer = post(url, data=described + tensor, headers=headers)
    length = int(answer.headers["Inference-Header-Content-Length"])
    outputs = json.loads(answer.content[:length])["outputs"]
    same("outputs in the order asked for", ["OUTPUT1", "OUTPUT0"], [output["name"] for output in outputs])
    same("OUTPUT0 as JSON", [one + 2 for one in left], outputs[1]["data"])
    same("OUTPUT1 as bytes", [one - 2 for one in left], list(struct.unpack("<16i", answer.content[length:])))
    for wrong, words in [
        (headers | {"Inference-Header-Content-Length": str(10**6)}, "inference header size should be in range"),
        (headers, "unexpected size for input 'INPUT1'"),
    ]:
        refusal = post(url, 400, data=described + tensor[:60], headers=wrong)
        holds(f"{wrong} and 60 bytes for 64", words, refusal.text, truth=words in refusal.json()["error"])


@CLIENT.contract("OIP REST: nested data, and data of another size than its shape")
def shapes(world: World) -> None:
    url = f"{world.server('public').url}/v2/models/simple/infer"
    flat = list(range(16))
    for data in (flat, [flat]):
        inputs = [{"name": f"INPUT{at}", "datatype": "INT32", "shape": [1, 16], "data": data} for at in (0, 1)]
        answer = post(url, json={"id": "42", "inputs": inputs}).json()
        same(data, "42", answer["id"])
        same(data, [2 * one for one in flat], answer["outputs"][0]["data"])
    for data in (flat[:15], [*flat, 1], [flat, flat], ["a"] * 16, None):
        inputs = [{"name": f"INPUT{at}", "datatype": "INT32", "shape": [1, 16], "data": data} for at in (0, 1)]
        has_members(f"data {data}", {"error"}, post(url, 400, json={"inputs": inputs}))


@CLIENT.contract("OIP REST: what is no request")
def odd(world: World) -> None:
    url = world.server().url
    infer = f"{url}/v2/models/{TEXT_MODEL}/infer"
    for body in (b"", b"{", b"[]", b"\xff\xfe", b'{"inputs": 7}', b"[" * 200, b'{"inputs": [{"name": "text"}]}'):
        has_members(body.decode("latin-1"), {"error"}, post(infer, 400, data=body))
    same("an unknown path", {"error": "Not Found"}, get(f"{url}/v2/nothing", 404).json())
    same("a wrong method", {"error": "Method Not Allowed"}, ask("DELETE", infer, 405).json())
    refusal = post(infer, 415, data=b"{}", headers={"Content-Encoding": "br"})
    same("an unknown content encoding", "gzip, deflate", refusal.headers["Accept-Encoding"])
    has_members("the path of the protocol's OpenAPI document", {"name", "version", "extensions"}, get(f"{url}/v2/"))


CLIENTS = [CLIENT]
