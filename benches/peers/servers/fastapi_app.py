"""FastAPI: an endpoint that computes in the event loop, which for a model of a millisecond is the fastest way."""

from __future__ import annotations

import orjson
from fastapi import FastAPI, Request, Response

from servers.answering import Classifier

app = FastAPI()
classifier = Classifier()


@app.post("/classify")
async def classify(request: Request) -> Response:
    """`{"input": text}` → `{"label", "score"}`."""
    text = orjson.loads(await request.body())["input"]
    return Response(orjson.dumps(classifier([text])[0]), media_type="application/json")
