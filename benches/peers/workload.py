"""What everything is measured on: seeded texts, token ids and pictures. No outside data.

Words come from the vocabulary of `models/sentiment`, the frequent ones (low ids) more often, as in real text. Lengths
are either fixed or drawn from `lengths.tsv`, a histogram of real sentences.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path

import numpy
from tokenizers import Tokenizer

from options import HERE

SEED = 20261123


class Words:
    """Words of a tokenizer that are one token each, with frequencies of Zipf's law."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
        self._words = [word for word, _ in vocabulary if word.isascii() and word.isalpha()]
        self._weights = [1 / (rank + 2.7) for rank in range(len(self._words))]

    def text(self, generator: random.Random, count: int) -> str:
        """A text of so many words."""
        return " ".join(generator.choices(self._words, self._weights, k=count))


def lengths(generator: random.Random, rows: int) -> list[int]:
    """Token counts with the distribution of `lengths.tsv`."""
    lines = [line.split("\t") for line in (HERE / "lengths.tsv").read_text().splitlines() if line[0].isdigit()]
    counts, sentences = zip(*((int(tokens), int(rows)) for tokens, rows in lines))
    return generator.choices(counts, sentences, k=rows)


def texts(tokenizer: Tokenizer, counts: Iterable[int]) -> list[str]:
    """A text for every count of words, the same in every run."""
    words, generator = Words(tokenizer), random.Random(SEED)
    return [words.text(generator, count) for count in counts]


def fixed_tokens(rows: int, tokens: int, vocabulary: int) -> list[list[int]]:
    """Ids that are spread evenly over a vocabulary: the hardest case for whoever keeps a large table."""
    generator = random.Random(SEED)
    return [[generator.randrange(1, vocabulary) for _ in range(tokens)] for _ in range(rows)]


def pictures(rows: int, side: int) -> list[list[float]]:
    """Normalised pixels, 3 × side × side flat, in [-1, 1) and exact as decimal text of seven digits."""
    generator = numpy.random.default_rng(SEED)
    values = generator.integers(-(2**10), 2**10, size=(rows, 3 * side * side)) / 2**10
    return values.tolist()


def write_lines(path: Path, rows: Iterable[object]) -> None:
    """Writes JSON Lines."""
    with path.open("w") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
