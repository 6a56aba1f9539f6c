"""BentoML. Set by PEERS_BATCH (1: no adaptive batching) and PEERS_WORKERS."""

from __future__ import annotations

import os

import bentoml

from servers.answering import Classifier

BATCH = int(os.environ["PEERS_BATCH"])


@bentoml.service(workers=int(os.environ["PEERS_WORKERS"]), logging={"access": {"enabled": False}})
class Text:
    """`{"texts": [text]}` → `[{"label", "score"}]`."""

    def __init__(self) -> None:
        self._classifier = Classifier()

    @bentoml.api(batchable=BATCH > 1, max_batch_size=max(BATCH, 2), max_latency_ms=1000)
    def classify(self, texts: list[str]) -> list[dict]:
        """With adaptive batching, the texts of several requests at once."""
        return self._classifier(texts)
