"""MLServer: a custom runtime of the V2 protocol."""

from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from servers.answering import Classifier


class TextModel(MLModel):
    """A string tensor `text` → `label` and `score`."""

    async def load(self) -> bool:
        """Loads the model, once a worker."""
        self._classifier = Classifier()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """With adaptive batching, the texts of several requests at once."""
        texts = StringCodec.decode_input(payload.inputs[0])
        answers = self._classifier(texts)
        scores = [answer["score"] for answer in answers]
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                StringCodec.encode_output("label", [answer["label"] for answer in answers]),
                ResponseOutput(name="score", shape=[len(scores), 1], datatype="FP64", data=scores),
            ],
        )
