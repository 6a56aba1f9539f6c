"""text-embeddings-inference's calls, as its documentation makes them."""

from __future__ import annotations

from ..asking import get, has_members, post
from ..cells import Client, holds, same
from ..world import SENTENCE, SENTENCES, TEXT_MODEL, World, bits

CLIENT = Client("tei", "requests, text-embeddings-inference's calls", "requests")


@CLIENT.contract("TEI: health and info")
def info(world: World) -> None:
    url = world.server().url
    get(f"{url}/health")
    wanted = {"model_id", "model_type", "max_concurrent_requests", "max_input_length", "max_batch_tokens",
              "max_client_batch_size", "auto_truncate", "tokenization_workers", "version"}
    got = has_members("GET /info", wanted, get(f"{url}/info"))
    labels = got["model_type"]["classifier"]["id2label"]
    same("GET /info", world.labels(TEXT_MODEL), [labels[str(at)] for at in range(len(labels))])


@CLIENT.contract("TEI: predict")
def predict(world: World) -> None:
    url = f"{world.server().url}/predict"
    got = post(url, json={"inputs": SENTENCE}).json()
    expected = world.best(TEXT_MODEL, world.text_scores[0])
    same("one text", [label for label, _ in expected], [one["label"] for one in got])
    same("one text", bits([score for _, score in expected]), bits([one["score"] for one in got]))
    rows = post(url, json={"inputs": [[text] for text in SENTENCES], "truncate": True}).json()
    for text, row, scores in zip(SENTENCES, rows, world.text_scores, strict=True):
        expected = world.best(TEXT_MODEL, scores)
        same(text, bits([score for _, score in expected]), bits([one["score"] for one in row]))


@CLIENT.contract("TEI: tokenize")
def tokenize(world: World) -> None:
    url = f"{world.server().url}/tokenize"
    for inputs in (SENTENCE, SENTENCES):
        rows = post(url, json={"inputs": inputs, "add_special_tokens": True}).json()
        texts = [inputs] if isinstance(inputs, str) else inputs
        same(inputs, len(texts), len(rows))
        for text, row in zip(texts, rows, strict=True):
            pieces = [text[token["start"]:token["stop"]] for token in row if not token["special"]]
            same(text, [token["text"] for token in row if not token["special"]], pieces)


@CLIENT.contract("TEI: errors and their types")
def errors(world: World) -> None:
    url = f"{world.server().url}/predict"
    for body, status, kind in [
        ({"inputs": ""}, 422, "Validation"),
        ({"inputs": []}, 400, "Empty"),
        ({"inputs": ["a", "b"]}, 422, "Validation"),
        ({"inputs": [["a"]] * 300}, 422, "Validation"),
        ({"inputs": 7}, 422, None),
        ({}, 422, None),
    ]:
        got = post(url, status, json=body)
        if kind:
            members = has_members(str(body)[:60], {"error", "error_type"}, got)
            holds(str(body)[:60], kind, members, truth=members["error_type"] == kind)


CLIENTS = [CLIENT]
