"""The networks as PyTorch modules: the weights' source, and what PyTorch runs as a peer.

The names of the tensors are the ones that `sconce import` reads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class TextClassifier(nn.Module):
    """Embedding → LSTM → the last valid state, or the maximum over valid states → Linear."""

    def __init__(self, vocabulary: int, widths: tuple[int, int], bidirectional: bool, pooling: str) -> None:
        super().__init__()
        embedding_dim, hidden_dim = widths
        self.pooling = pooling
        self.embedding = nn.Embedding(vocabulary, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, batch_first=True, bidirectional=bidirectional)
        self.fc = nn.Linear(hidden_dim * (2 if bidirectional else 1), 1)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits, B × 1, of ids, B × T, in which every row has T tokens."""
        states, (hidden, _) = self.lstm(self.embedding(ids))
        return self.fc(hidden[-1] if self.pooling == "last" else states.amax(1))

    def padded(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The same of rows with `lengths` valid tokens; padding is computed and not read."""
        if self.lstm.bidirectional:
            return self.packed(ids, lengths)
        states, _ = self.lstm(self.embedding(ids))
        last = states[torch.arange(len(ids)), lengths - 1]
        return self.fc(last)

    def packed(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The same, the longest row first; padding is not computed."""
        packed = pack_padded_sequence(self.embedding(ids), lengths, batch_first=True)
        states, (hidden, _) = self.lstm(packed)
        if self.pooling == "last":
            return self.fc(hidden[-1])
        states, _ = pad_packed_sequence(states, batch_first=True, padding_value=float("-inf"))
        return self.fc(states.amax(1))


class PictureClassifier(nn.Module):
    """Convolution 3 → 64 → 128 (3 × 3, padded, rectified), maximum of 2 × 2, Linear."""

    def __init__(self, side: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(64, 128, kernel_size=3, padding=1)
        self.fc = nn.Linear(128 * (side // 2) ** 2, outputs)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits, B × outputs, of normalised pixels, B × 3 × side × side."""
        inner = functional.relu(self.conv1(pixels))
        inner = functional.max_pool2d(functional.relu(self.conv2(inner)), 2)
        return self.fc(inner.flatten(1))
