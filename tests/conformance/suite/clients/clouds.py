"""The clouds' calls, as their platforms make them to a container."""

from __future__ import annotations

import base64
import json

import httpx

from ..asking import ask, get, has_members, post
from ..cells import Client, holds, same
from ..world import PICTURE, PICTURE_MODEL, SENTENCE, SENTENCES, TEXT_MODEL, World, bits

SAGEMAKER = Client("sagemaker", "requests, SageMaker's calls", "requests")
VERTEX = Client("vertex", "requests, Vertex AI's calls", "requests")
AZURE = Client("azure", "requests, Azure ML's calls", "requests")
KNATIVE = Client("knative", "httpx with h2c, Knative's calls", "httpx")


def listed(sent: str, expected: list[tuple[str, float]], got: list[dict]) -> None:
    same(sent, [label for label, _ in expected], [one["label"] for one in got])
    same(sent, bits([score for _, score in expected]), bits([one["score"] for one in got]))


@SAGEMAKER.contract("SageMaker: ping and invocations")
def invocations(world: World) -> None:
    url = world.server().url
    get(f"{url}/ping")
    expected = world.best(TEXT_MODEL, world.text_scores[0])
    attributes = {"X-Amzn-SageMaker-Custom-Attributes": f"model={TEXT_MODEL}"}
    plain = {"Content-Type": "text/plain", "Accept": "application/json", "X-Amzn-Unknown": "ignored"}
    for headers in (plain, plain | attributes):
        answer = post(f"{url}/invocations", data=SENTENCE.encode(), headers=headers)
        listed(f"text/plain, {headers}", expected, answer.json())
    same("custom attributes come back", attributes["X-Amzn-SageMaker-Custom-Attributes"],
         answer.headers["X-Amzn-SageMaker-Custom-Attributes"])
    listed("inputs", expected, post(f"{url}/invocations", json={"inputs": SENTENCE}).json())
    rows = post(f"{url}/invocations", json={"instances": SENTENCES}).json()["predictions"]
    for row, scores in zip(rows, world.text_scores, strict=True):
        listed("instances", world.best(TEXT_MODEL, scores), row)
    for kind in ("image/jpeg", "application/x-image"):
        answer = post(f"{url}/invocations", data=PICTURE.read_bytes(), headers={"Content-Type": kind})
        listed(kind, world.best(PICTURE_MODEL, world.picture_scores[0])[:len(answer.json())], answer.json())
    has_members("an unknown model", {"code", "type", "message"}, post(
        f"{url}/invocations", 404, data=b"a",
        headers={"Content-Type": "text/plain", "X-Amzn-SageMaker-Custom-Attributes": "model=sentimnt"}))


@SAGEMAKER.contract("SageMaker: batch transform")
def batch_transform(world: World) -> None:
    url = world.server().url
    wanted = {"MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"}
    has_members("GET /execution-parameters", wanted, get(f"{url}/execution-parameters"))
    lines = [json.dumps({"inputs": text}) for text in SENTENCES] + [json.dumps({"inputs": ""})]
    answer = post(f"{url}/invocations", data="\n".join(lines).encode(), headers={"Content-Type": "application/jsonlines"})
    got = [json.loads(line) for line in answer.text.splitlines()]
    same("JSON lines", len(lines), len(got))
    for row, scores in zip(got, world.text_scores, strict=False):
        listed("JSON lines", world.best(TEXT_MODEL, scores), row)
    holds("a line that cannot be answered", "an object with its error", got[-1], truth="error" in got[-1])


@SAGEMAKER.contract("SageMaker: multi-model endpoints")
def multi_model(world: World) -> None:
    url = world.server("multi-model").url
    name = "0123456789abcdef0123456789abcdef"
    folder = str(world.options.models / TEXT_MODEL)
    same("GET /models at the start", [], get(f"{url}/models").json()["models"])
    post(f"{url}/models/{name}/invoke", 404, data=SENTENCE.encode(), headers={"Content-Type": "text/plain"})
    post(f"{url}/models", json={"model_name": name, "url": folder})
    post(f"{url}/models", 409, json={"model_name": name, "url": folder})
    same("GET /models/{name}", {"modelName": name, "modelUrl": folder}, get(f"{url}/models/{name}").json())
    headers = {"Content-Type": "text/plain", "X-Amzn-SageMaker-Target-Model": "model.tar.gz"}
    answer = post(f"{url}/models/{name}/invoke", data=SENTENCE.encode(), headers=headers)
    listed("invoke", world.best(TEXT_MODEL, world.text_scores[0]), answer.json())
    ask("DELETE", f"{url}/models/{name}")
    ask("DELETE", f"{url}/models/{name}", 404)
    get(f"{url}/models/{name}", 404)
    has_members("what is not there", {"code", "type", "message"}, post(f"{url}/models", 400, json={"model_name": name, "url": "/nothing"}))


@VERTEX.contract("Vertex AI: the routes that AIP_ variables choose")
def routes(world: World) -> None:
    server = world.server("vertex")
    get(f"{server.url}/health-of-vertex")
    place = f"{server.url}/v1/endpoints/1/deployedModels/2:predict"
    for path in (place, f"{server.url}/vertex"):
        got = post(path, json={"instances": SENTENCES}).json()
        same(path, "2", got["deployedModelId"])
        for row, scores in zip(got["predictions"], world.text_scores, strict=True):
            listed(path, world.best(TEXT_MODEL, scores), row)
    encoded = base64.b64encode(PICTURE.read_bytes()).decode()
    body = {"instances": [{"b64": encoded}], "parameters": {"model": PICTURE_MODEL, "top_k": 2}}
    got = post(place, json=body).json()["predictions"]
    listed("a picture", world.best(PICTURE_MODEL, world.picture_scores[0])[:2], got[0])
    error = post(place, 404, json={"instances": ["a"], "parameters": {"model": "sentimnt"}}).json()["error"]
    same("an unknown model", (404, "NOT_FOUND"), (error["code"], error["status"]))
    error = post(place, 400, json={"instances": 7}).json()["error"]
    same("instances that are none", (400, "INVALID_ARGUMENT"), (error["code"], error["status"]))


@AZURE.contract("Azure ML: liveness, readiness, scoring")
def azure(world: World) -> None:
    url = world.server().url
    for path in ("/", "/health/live", "/health/ready"):
        get(f"{url}{path}")
    expected = world.best(TEXT_MODEL, world.text_scores[0])
    answer = post(f"{url}/score", json={"inputs": SENTENCE}, headers={"azureml-model-deployment": "blue"})
    listed("POST /score", expected, answer.json())
    has_members("what is no question", {"code", "detail"}, post(f"{url}/score", 400, json={"nothing": 1}))


@KNATIVE.contract("Knative: HTTP/2 without TLS, every protocol on one port")
def h2c(world: World) -> None:
    url = world.server().url
    with httpx.Client(http1=False, http2=True, timeout=30) as client:
        for path in ("/health/ready", "/v2/health/ready", "/ping"):
            answer = client.get(url + path)
            same(path, (200, "HTTP/2"), (answer.status_code, answer.http_version))
        got = client.post(f"{url}/v1/models/{TEXT_MODEL}:predict", json={"instances": SENTENCES}).json()
        same(":predict", bits(world.text_scores), bits(got["predictions"]))


CLIENTS = [SAGEMAKER, VERTEX, AZURE, KNATIVE]
