"""LitServe. Set by PEERS_PORT, PEERS_BATCH (1: no batching) and PEERS_WORKERS."""

from __future__ import annotations

import os

import litserve

from servers.answering import Classifier

BATCH = int(os.environ["PEERS_BATCH"])


class TextApi(litserve.LitAPI):
    """`{"input": text}` → `{"label", "score"}`."""

    def setup(self, device: str) -> None:
        """Loads the model, once a worker."""
        self._classifier = Classifier()

    def decode_request(self, request: dict) -> str:
        """The text of a request."""
        return request["input"]

    def predict(self, x: str | list[str]) -> dict | list[dict]:
        """A list with batching, one text without."""
        return self._classifier(x) if BATCH > 1 else self._classifier([x])[0]

    def encode_response(self, output: dict) -> dict:
        """The answer as it is."""
        return output


if __name__ == "__main__":
    batching = {"max_batch_size": BATCH, "batch_timeout": 0.002} if BATCH > 1 else {}
    workers = int(os.environ["PEERS_WORKERS"])
    server = litserve.LitServer(TextApi(**batching), accelerator="cpu", workers_per_device=workers)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEERS_PORT"]),
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
