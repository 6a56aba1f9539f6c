"""Hugging Face: `huggingface_hub`'s InferenceClient."""

from __future__ import annotations

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from ..cells import Client, refused, same
from ..world import PICTURE, PICTURE_MODEL, SENTENCE, SENTENCES, TEXT_MODEL, World, bits

CLIENT = Client("huggingface", "huggingface_hub InferenceClient", "huggingface_hub")


@CLIENT.contract("pipeline: text classification")
def text(world: World) -> None:
    client = InferenceClient(model=world.server().url, token="none")
    for sentence, scores in zip(SENTENCES, world.text_scores, strict=True):
        expected = world.best(TEXT_MODEL, scores)
        got = client.text_classification(sentence)
        same(sentence, [label for label, _ in expected], [one.label for one in got])
        same(sentence, bits([score for _, score in expected]), bits([one.score for one in got]))
    same("top_k=1", 1, len(client.text_classification(SENTENCE, top_k=1)))


@CLIENT.contract("pipeline: image classification")
def picture(world: World) -> None:
    # Nothing in its requests says that they are about a picture, so its URL names the model.
    client = InferenceClient(model=f"{world.server().url}/?model={PICTURE_MODEL}", token="none")
    expected = world.best(PICTURE_MODEL, world.picture_scores[0])
    for sent in (PICTURE.read_bytes(), str(PICTURE)):
        got = client.image_classification(sent)
        same(PICTURE.name, expected[0][0], got[0].label)
        same(PICTURE.name, bits([score for _, score in expected[:len(got)]]), bits([one.score for one in got]))
    got = client.image_classification(PICTURE.read_bytes(), top_k=3)
    same("top_k=3", [label for label, _ in expected[:3]], [one.label for one in got])


@CLIENT.contract("pipeline: errors")
def errors(world: World) -> None:
    client = InferenceClient(model=world.server().url, token="none")
    with refused("an empty text", HfHubHTTPError, "the text is empty"):
        client.text_classification("")


CLIENTS = [CLIENT]
