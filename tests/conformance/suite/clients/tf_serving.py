"""TensorFlow Serving's REST calls, as its guide and its public client examples make them."""

from __future__ import annotations

import base64

import numpy

from ..asking import ask, get, has_members, post
from ..cells import Client, holds, same
from ..world import PICTURE, PICTURE_MODEL, SENTENCE, SENTENCES, TEXT_MODEL, World, bits

CLIENT = Client("tf-serving", "requests, TensorFlow Serving's calls", "requests")


@CLIENT.contract("TFS REST: model status")
def status(world: World) -> None:
    url = world.server().url
    available = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("", "/versions/1", "/labels/stable"):
        got = get(f"{url}/v1/models/{TEXT_MODEL}{path}").json()
        same(f"GET /v1/models/{TEXT_MODEL}{path}", [available], got["model_version_status"])
    for path in ("sentimnt", f"{TEXT_MODEL}/versions/9", f"{TEXT_MODEL}/labels/nothing"):
        has_members(path, {"error"}, get(f"{url}/v1/models/{path}", 400 if "labels" in path else 404))


@CLIENT.contract("TFS REST: metadata")
def metadata(world: World) -> None:
    for path in ("", "/versions/1", "/labels/stable"):
        got = get(f"{world.server().url}/v1/models/{TEXT_MODEL}{path}/metadata").json()
        same(path, TEXT_MODEL, got["model_spec"]["name"])
        same(path, "1", got["model_spec"]["version"])
        signatures = got["metadata"]["signature_def"]["signature_def"]
        holds(path, "serving_default", signatures, truth="serving_default" in signatures)


@CLIENT.contract("TFS REST: predict, rows and columns")
def predict(world: World) -> None:
    url = world.server().url
    for path in ("", "/versions/1", "/labels/stable"):
        place = f"{url}/v1/models/{TEXT_MODEL}{path}:predict"
        for extra in ({}, {"signature_name": "serving_default"}):
            got = post(place, json={"instances": SENTENCES} | extra).json()
            same(place, bits(world.text_scores), bits(got["predictions"]))
            got = post(place, json={"inputs": SENTENCES} | extra).json()
            same(place, bits(world.text_scores), bits(got["outputs"]))
    place = f"{url}/v1/models/{TEXT_MODEL}:predict"
    named = {"instances": [{"text": text} for text in SENTENCES]}
    same("named rows", bits(world.text_scores), bits(post(place, json=named).json()["predictions"]))
    same("named columns", bits(world.text_scores), bits(post(place, json={"inputs": {"text": SENTENCES}}).json()["outputs"]))
    encoded = {"instances": [{"b64": base64.b64encode(text.encode()).decode()} for text in SENTENCES]}
    same("b64", bits(world.text_scores), bits(post(place, json=encoded).json()["predictions"]))
    ids = {"instances": world.tokens(SENTENCES)}
    same("token ids", bits(world.text_scores), bits(post(place, json=ids).json()["predictions"]))


@CLIENT.contract("TFS REST: pictures, as its ResNet client sends them")
def picture(world: World) -> None:
    place = f"{world.server().url}/v1/models/{PICTURE_MODEL}:predict"
    encoded = base64.b64encode(PICTURE.read_bytes()).decode("utf-8")
    # A body that is not built by a JSON library, as in the public example.
    got = post(place, data='{"instances" : [{"b64": "%s"}]}' % encoded).json()["predictions"]
    same("b64", bits(world.picture_scores), bits(got))
    pixels = numpy.random.default_rng(5).integers(0, 256, (2, 14, 14, 3)).tolist()
    got = numpy.array(post(place, json={"instances": pixels}).json()["predictions"])
    same("two pictures as pixels", (2, len(world.labels(PICTURE_MODEL))), got.shape)


@CLIENT.contract("TFS REST: classify and regress")
def classify(world: World) -> None:
    url = f"{world.server().url}/v1/models/{TEXT_MODEL}"
    got = post(f"{url}:classify", json={"examples": [{"text": text} for text in SENTENCES]}).json()["results"]
    for text, row, scores in zip(SENTENCES, got, world.text_scores, strict=True):
        best = world.best(TEXT_MODEL, scores)
        same(text, [label for label, _ in best], [label for label, _ in row])
        same(text, bits([score for _, score in best]), bits([score for _, score in row]))
    has_members("regress", {"error"}, post(f"{url}:regress", 400, json={"examples": [{"text": SENTENCE}]}))


@CLIENT.contract("TFS REST: errors and their messages")
def errors(world: World) -> None:
    url = f"{world.server().url}/v1/models"
    place = f"{url}/{TEXT_MODEL}:predict"
    unknown = post(f"{url}/sentimnt:predict", 404, json={"instances": ["a"]})
    same("an unknown model", {"error": "Servable not found for request: Latest(sentimnt)"}, unknown.json())
    unknown = post(f"{url}/{TEXT_MODEL}/versions/9:predict", 404, json={"instances": ["a"]})
    same("an unknown version", {"error": f"Servable not found for request: Specific({TEXT_MODEL}, 9)"}, unknown.json())
    for body, words in [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"instances": ["a"], "signature_name": "x"}', 'Serving signature name: "x" not found in signature def'),
        (b'{"instances": [{"nothing": "a", "text": "b"}]}', ""),
        (b'{"instances": []}', ""),
    ]:
        got = has_members(body.decode(), {"error"}, post(place, 400, data=body))
        holds(body.decode(), words, got, truth=words in got["error"])
    has_members("a wrong verb", {"error"}, ask("GET", place, 400))


CLIENTS = [CLIENT]
