"""Makes the models of a run, once for everybody: our model directories, ONNX files, `state_dict`s and inputs."""

from __future__ import annotations

import random
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

import graphs
import workload
from networks import PictureClassifier, TextClassifier
from options import REPOSITORY
from safetensors_reader import read

SENTIMENT = REPOSITORY / "models" / "sentiment" / "1"
VOCABULARY, EMBEDDING, HIDDEN, TOKENS = 20_000, 128, 256, 64
CLASSES = 10
LABELS = ["negative", "positive"]
WORDS_SERVED = 40


@dataclass(frozen=True)
class Case:
    """One network on one kind of input, in every system's form."""

    name: str
    network: str
    """`text`, or `picture14` and the like."""
    model: Path
    """Our model directory."""
    peers: Path
    """The folder of the peers' files: `plain.onnx`, `lengths.onnx`, `module.pt`."""
    inputs: Path
    """JSON Lines for every system."""
    batches: tuple[int, ...]
    flops: float
    """Of an average row, by the definition of the network."""


@dataclass(frozen=True)
class Served:
    """A text model as servers get it."""

    name: str
    models: Path
    """The folder of our model directories."""
    peers: Path
    """The folder with `lengths.onnx`, `tokenizer.json` and `labels.txt`."""
    texts: Path
    """A JSON string a line."""


def text_network() -> TextClassifier:
    """The reference LSTM with seeded weights; its outputs are spread so that both labels occur."""
    torch.manual_seed(workload.SEED)
    network = TextClassifier(VOCABULARY, (EMBEDDING, HIDDEN), bidirectional=False, pooling="last").eval()
    generator = random.Random(workload.SEED)
    ids = torch.tensor([[generator.randrange(VOCABULARY) for _ in range(TOKENS)] for _ in range(256)])
    with torch.inference_mode():
        logits = network(ids)
        scale = 2 / logits.std()
        network.fc.weight.mul_(scale)
        network.fc.bias.sub_(logits.median()).mul_(scale)
    return network


def picture_network(side: int) -> PictureClassifier:
    """The convolutional network with seeded weights."""
    torch.manual_seed(workload.SEED)
    return PictureClassifier(side, CLASSES).eval()


def sentiment_network() -> TextClassifier:
    """The bundled model's network with its own weights."""
    sizes = tomllib.loads((SENTIMENT / "model.toml").read_text())["architecture"]
    network = TextClassifier(
        sizes["vocabulary"], (sizes["embedding_dim"], sizes["hidden_dim"]), sizes["bidirectional"], sizes["pooling"]
    )
    network.load_state_dict(read(SENTIMENT / "weights.safetensors"))
    return network.eval()


def _imported(sconce: Path, work: Path, name: str, weights: Path, settings: list[str]) -> Path:
    """Our model directory, made by `sconce import` of the `state_dict` that the peers run."""
    out = work / "models" / name / name
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sconce, "import", "--weights", weights, "--labels", weights.parent / "labels.txt", "--out", out]
    subprocess.run(command + settings, check=True, capture_output=True, text=True)
    return out


def _peers_folder(work: Path, name: str, network: torch.nn.Module, labels: list[str]) -> Path:
    folder = work / "peers" / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "state_dict.pt")
    torch.save(network, folder / "module.pt")
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    if isinstance(network, TextClassifier):
        graphs.write_text(network, folder / "lengths.onnx", lengths=True)
        shutil.copy(SENTIMENT / "tokenizer.json", folder / "tokenizer.json")
    return folder


def _text_flops(tokens: float) -> float:
    return 2 * tokens * 4 * HIDDEN * (EMBEDDING + HIDDEN) + 2 * HIDDEN


def text_cases(sconce: Path, work: Path) -> list[Case]:
    """The reference LSTM on 64 tokens and on real lengths."""
    network = text_network()
    peers = _peers_folder(work, "reference", network, LABELS)
    graphs.write_text(network, peers / "plain.onnx", lengths=False)
    settings = ["--tokenizer", str(peers / "tokenizer.json"), "--set", "tokens_max=256"]
    model = _imported(sconce, work, "reference", peers / "state_dict.pt", settings)
    fixed, real = work / "tokens-64.jsonl", work / "tokens-real.jsonl"
    rows = workload.fixed_tokens(512, TOKENS, VOCABULARY)
    workload.write_lines(fixed, ({"tokens": row} for row in rows))
    tokenizer = Tokenizer.from_file(str(peers / "tokenizer.json"))
    counts = workload.lengths(random.Random(workload.SEED), 1024)
    rows = [tokenizer.encode(text).ids for text in workload.texts(tokenizer, counts)]
    workload.write_lines(real, ({"tokens": row} for row in rows))
    mean = sum(map(len, rows)) / len(rows)
    return [
        Case("LSTM, 64 tokens", "text", model, peers, fixed, (1, 8, 32), _text_flops(TOKENS)),
        Case("LSTM, real lengths", "text", model, peers, real, (32,), _text_flops(mean)),
    ]


def picture_case(sconce: Path, work: Path, side: int) -> Case:
    """The convolutional network on pictures of one size."""
    name = f"conv{side}"
    network = picture_network(side)
    peers = _peers_folder(work, name, network, [str(label) for label in range(CLASSES)])
    graphs.write_picture(network, side, peers / "plain.onnx")
    settings = ["--set", f"height={side}", "--set", "blocks.1.pool=none", "--set", "blocks.2.pool=max2"]
    model = _imported(sconce, work, name, peers / "state_dict.pt", settings)
    inputs = work / f"pixels-{side}.jsonl"
    workload.write_lines(inputs, ({"pixels": row} for row in workload.pictures(64, side)))
    flops = 2 * side * side * 9 * (3 * 64 + 64 * 128) + 2 * 128 * (side // 2) ** 2 * CLASSES
    return Case(f"conv {side} × {side}", f"picture{side}", model, peers, inputs, (1, 32), flops)


def served(sconce: Path, work: Path) -> list[Served]:
    """The reference LSTM on texts of 40 words, and the bundled model on texts of real lengths."""
    reference = work / "models" / "reference"
    if not (reference / "reference").exists():
        text_cases(sconce, work)
    bundled = work / "models" / "sentiment"
    shutil.rmtree(bundled, ignore_errors=True)
    shutil.copytree(SENTIMENT, bundled / "sentiment" / "1")
    _peers_folder(work, "sentiment", sentiment_network(), LABELS)
    tokenizer = Tokenizer.from_file(str(SENTIMENT / "tokenizer.json"))
    counts = {"reference": [WORDS_SERVED] * 1024, "sentiment": workload.lengths(random.Random(workload.SEED), 1024)}
    found = []
    for name, models in (("reference", reference), ("sentiment", bundled)):
        texts = work / f"texts-{name}.jsonl"
        workload.write_lines(texts, workload.texts(tokenizer, counts[name]))
        found.append(Served(name, models, work / "peers" / name, texts))
    return found


def with_precision(work: Path, model: Path, precision: str) -> Path:
    """A copy of a model directory that asks for another precision of its weights."""
    out = work / "models" / f"{model.name}-{precision}" / model.name
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(model, out)
    [manifest] = out.glob("*/model.toml")
    manifest.write_text(f'precision = "{precision}"\n' + manifest.read_text())
    return out
