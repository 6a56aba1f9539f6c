"""What is checked with each form of Triton's Python client: the Open Inference Protocol and its extensions."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy
from PIL import Image
from tritonclient.utils import InferenceServerException

from ..cells import Mismatch, holds, refused, same
from ..world import PICTURE, PICTURE_MODEL, SENTENCE, SENTENCES, TEXT_MODEL, World, bits
from .triton_session import Session, check

UNKNOWN = "Request for unknown model: 'sentimnt' is not found"


@check("health")
async def health(world: World, session: Session) -> None:
    same("is_server_live", True, await session.ask("is_server_live"))
    same("is_server_ready", True, await session.ask("is_server_ready"))
    same("is_model_ready(sentiment)", True, await session.ask("is_model_ready", TEXT_MODEL))
    same("is_model_ready(sentiment, 1)", True, await session.ask("is_model_ready", TEXT_MODEL, "1"))
    if session.transport.grpc:
        with refused("is_model_ready(sentimnt)", InferenceServerException, UNKNOWN):
            await session.ask("is_model_ready", "sentimnt")
    else:
        same("is_model_ready(sentimnt)", False, await session.ask("is_model_ready", "sentimnt"))


@check("metadata")
async def metadata(world: World, session: Session) -> None:
    server = await session.show("get_server_metadata")
    same("get_server_metadata", "sconce", server["name"])
    wanted = {"classification", "model_repository", "schedule_policy", "model_configuration", "binary_tensor_data",
              "statistics", "logging"}
    holds("get_server_metadata", f"extensions with {wanted}", server, truth=wanted <= set(server["extensions"]))
    for model, inputs in [
        (TEXT_MODEL, {"text": "BYTES", "input_ids": "INT64", "attention_mask": "INT64"}),
        (PICTURE_MODEL, {"image": "BYTES", "pixels": "UINT8", "tensor": "FP32"}),
    ]:
        for version in ("", "1"):
            shown = await session.show("get_model_metadata", model, version)
            sent = f"get_model_metadata({model}, {version!r})"
            same(sent, model, shown["name"])
            same(sent, ["1"], shown["versions"])
            same(sent, inputs, {port["name"]: port["datatype"] for port in shown["inputs"]})
            outputs = {port["name"]: port["datatype"] for port in shown["outputs"]}
            same(sent, {"scores": "FP32", "label": "BYTES", "score": "FP32"}, outputs)
            scores = next(port for port in shown["outputs"] if port["name"] == "scores")
            same(sent, [-1, len(world.labels(model))], [int(side) for side in scores["shape"]])
    with refused("get_model_metadata(sentimnt)", InferenceServerException, UNKNOWN):
        await session.show("get_model_metadata", "sentimnt")


@check("model configuration")
async def configuration(world: World, session: Session) -> None:
    shown = await session.show("get_model_config", TEXT_MODEL)
    config = shown["config"] if session.transport.grpc else shown
    same("get_model_config(sentiment)", TEXT_MODEL, config["name"])
    same("get_model_config(sentiment)", 256, int(config["max_batch_size"]))
    types = {port["name"]: port["data_type"] for port in config["input"]}
    expected = {"text": "TYPE_STRING", "input_ids": "TYPE_INT64", "attention_mask": "TYPE_INT64"}
    same("get_model_config(sentiment)", expected, types)
    with refused("get_model_config(sentimnt)", InferenceServerException, UNKNOWN):
        await session.show("get_model_config", "sentimnt")


async def counts(session: Session) -> tuple[int, int]:
    shown = await session.show("get_inference_statistics", TEXT_MODEL, "1")
    model = shown["model_stats"][0]
    return int(model.get("inference_count", 0)), int(model.get("execution_count", 0))


@check("statistics")
async def statistics(world: World, session: Session) -> None:
    inferences, executions = await counts(session)
    await session.ask("infer", TEXT_MODEL, [session.transport.texts(SENTENCES)])
    more_inferences, more_executions = await counts(session)
    same("infer with 4 rows, inference_count", 4, more_inferences - inferences)
    ran = more_executions - executions
    holds("infer with 4 rows, execution_count", "from 1 to 4 executions more", ran, truth=1 <= ran <= 4)
    shown = await session.show("get_inference_statistics")
    models = {model["name"] for model in shown["model_stats"]}
    holds("get_inference_statistics", "every model", models, truth={TEXT_MODEL, PICTURE_MODEL} <= models)
    with refused("get_inference_statistics(sentimnt)", InferenceServerException, UNKNOWN):
        await session.show("get_inference_statistics", "sentimnt")


async def index(session: Session) -> dict[str, str]:
    shown = await session.show("get_model_repository_index")
    models = shown["models"] if session.transport.grpc else shown
    return {model["name"]: model["state"] for model in models}


@check("model repository: index, unload, load", server="control")
async def repository(world: World, session: Session) -> None:
    model = "intents"
    same("get_model_repository_index", "READY", (await index(session))[model])
    await session.ask("unload_model", model)
    same("unload_model, index", "UNAVAILABLE", (await index(session))[model])
    same("unload_model, is_model_ready", False, await ready(session, model))
    with refused("unload_model, infer", InferenceServerException, f"Request for unknown model: '{model}'"):
        await session.ask("infer", model, [session.transport.texts([SENTENCE])])
    await session.ask("load_model", model)
    same("load_model, index", "READY", (await index(session))[model])
    same("load_model, is_model_ready", True, await ready(session, model))
    await session.ask("infer", model, [session.transport.texts([SENTENCE])])
    with refused("load_model(sentimnt)", InferenceServerException, "failed to load 'sentimnt'"):
        await session.ask("load_model", "sentimnt")


async def ready(session: Session, model: str) -> bool:
    try:
        return await session.ask("is_model_ready", model)
    except InferenceServerException:
        return False


@check("model repository where it is off")
async def repository_off(world: World, session: Session) -> None:
    same("get_model_repository_index", "READY", (await index(session))[TEXT_MODEL])
    for method in ("load_model", "unload_model"):
        with refused(f"{method}(sentiment)", InferenceServerException, "http.model_control"):
            await session.ask(method, TEXT_MODEL)


@check("text as BYTES")
async def text(world: World, session: Session) -> None:
    transport = session.transport
    for binary in transport.forms:
        for version in ("", "1"):
            sent = f"infer({TEXT_MODEL}, {version!r}) with {SENTENCES}, binary {binary}"
            inputs = [transport.texts(SENTENCES, binary=binary)]
            outputs = [transport.output(name, binary=binary) for name in ("scores", "label", "score")]
            answer = await session.ask("infer", TEXT_MODEL, inputs, version, outputs, request_id="a request")
            same(sent, bits(world.text_scores), bits(answer.as_numpy("scores")))
            best = [world.best(TEXT_MODEL, row)[0] for row in world.text_scores]
            labels = [label.decode() if isinstance(label, bytes) else label for label in answer.as_numpy("label")]
            same(sent, [label for label, _ in best], labels)
            same(sent, bits([score for _, score in best]), bits(answer.as_numpy("score")))
            identity = answer.get_response().id if transport.grpc else answer.get_response()["id"]
            same(sent, "a request", identity)


@check("token ids as INT64")
async def token_ids(world: World, session: Session) -> None:
    tokens = world.tokens(SENTENCES[:2])
    length = max(len(row) for row in tokens)
    ids = numpy.array([row + [0] * (length - len(row)) for row in tokens], dtype=numpy.int64)
    mask = numpy.array([[1] * len(row) + [0] * (length - len(row)) for row in tokens], dtype=numpy.int64)
    for binary in session.transport.forms:
        for masked in (True, False):
            inputs = [session.transport.input("input_ids", ids, "INT64", binary=binary)]
            if masked:
                inputs.append(session.transport.input("attention_mask", mask, "INT64", binary=binary))
            answer = await session.ask("infer", TEXT_MODEL, inputs)
            sent = f"input_ids {ids.tolist()}, with a mask: {masked}, binary: {binary}"
            same(sent, bits(world.text_scores[:2]), bits(answer.as_numpy("scores")))


@check("pictures as BYTES, UINT8 pixels and an FP32 tensor")
async def pictures(world: World, session: Session) -> None:
    transport = session.transport
    encoded = numpy.array([[PICTURE.read_bytes()]] * 2, dtype=object)
    # In JSON bytes that are no UTF-8 have no form that the client knows.
    answer = await session.ask("infer", PICTURE_MODEL, [transport.input("image", encoded, "BYTES")])
    expected = numpy.repeat(world.picture_scores, 2, axis=0)
    same(f"two times {PICTURE.name}", bits(expected), bits(answer.as_numpy("scores")))

    pixels = numpy.random.default_rng(7).integers(0, 256, (14, 14, 3), dtype=numpy.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "png")
    expected = world.scores_of_picture(png.getvalue())
    tensor = numpy.transpose((pixels / numpy.float32(255) - 0.5) / 0.5, (2, 0, 1)).astype(numpy.float32)
    for binary in transport.forms:
        inputs = [transport.input("pixels", pixels[None], "UINT8", binary=binary)]
        answer = await session.ask("infer", PICTURE_MODEL, inputs)
        same(f"UINT8 pixels, binary {binary}", bits(expected), bits(answer.as_numpy("scores")))
        inputs = [transport.input("tensor", tensor[None], "FP32", binary=binary)]
        answer = await session.ask("infer", PICTURE_MODEL, inputs)
        close = numpy.allclose(expected, answer.as_numpy("scores"), atol=1e-6)
        holds(f"FP32 tensor, binary {binary}", f"{expected}, within 1e-6", answer.as_numpy("scores"), truth=close)


@check("classification")
async def classification(world: World, session: Session) -> None:
    model = "intents"
    for binary in session.transport.forms:
        outputs = [session.transport.output("scores", binary=binary, classes=3)]
        inputs = [session.transport.texts(["what is the weather in paris", "wake me at seven"], binary=binary)]
        answer = (await session.ask("infer", model, inputs, outputs=outputs)).as_numpy("scores")
        same("class_count=3, two rows", (2, 3), answer.shape)
        entries = [[entry.decode() if isinstance(entry, bytes) else entry for entry in row] for row in answer]
        for row in entries:
            values = [float(entry.split(":")[0]) for entry in row]
            labels = [world.labels(model)[int(entry.split(":")[1])] for entry in row]
            holds("class_count=3", "best first", row, truth=values == sorted(values, reverse=True))
            same("class_count=3", labels, [entry.split(":")[2] for entry in row])
        same("class_count=3", "weather", entries[0][0].split(":")[2])


@check("compression")
async def compression(world: World, session: Session) -> None:
    inputs = [session.transport.texts([SENTENCE] * 64)]
    if session.transport.grpc:
        kinds: list[dict[str, Any]] = [{"compression_algorithm": "gzip"}]
    else:
        names = ("gzip", "deflate", None)
        kinds = [
            {"request_compression_algorithm": request, "response_compression_algorithm": response}
            for request in names for response in names
        ]
    for options in kinds:
        answer = await session.ask("infer", TEXT_MODEL, inputs, **options)
        expected = numpy.repeat(world.text_scores[:1], 64, axis=0)
        same(f"64 rows, {options}", bits(expected), bits(answer.as_numpy("scores")))


@check("schedule policy and timeouts")
async def schedule(world: World, session: Session) -> None:
    inputs = [session.transport.texts([SENTENCE])]
    for options in ({"priority": 1}, {"timeout": 5_000_000}, {"priority": 2, "timeout": 5_000_000}):
        answer = await session.ask("infer", TEXT_MODEL, inputs, **options)
        same(options, bits(world.text_scores[:1]), bits(answer.as_numpy("scores")))
    with refused("infer with timeout=1 µs", InferenceServerException, "Request timeout expired"):
        await session.ask("infer", TEXT_MODEL, [session.transport.texts(SENTENCES * 64)], timeout=1)
    if session.transport.grpc:
        # gRPC's timers count milliseconds: the texts must take many times that on a fast machine, too.
        long = [" ".join([SENTENCE] * 32)] * 256
        with refused("infer with client_timeout=0.5 ms", InferenceServerException, "DEADLINE_EXCEEDED"):
            await session.ask("infer", TEXT_MODEL, [session.transport.texts(long)], client_timeout=0.0005)


@check("parameters and headers")
async def parameters(world: World, session: Session) -> None:
    inputs = [session.transport.texts([SENTENCE])]
    options: dict[str, Any] = {"parameters": {"anything": "goes", "n": 3}, "headers": {"x-request-id": "suite"}}
    if not session.transport.grpc:
        options["query_params"] = {"anything": 1}
    answer = await session.ask("infer", TEXT_MODEL, inputs, **options)
    same(options, bits(world.text_scores[:1]), bits(answer.as_numpy("scores")))
    with refused("the parameter triton_x", InferenceServerException, "reserved"):
        await session.ask("infer", TEXT_MODEL, inputs, parameters={"triton_x": 1})


@check("errors and their messages")
async def errors(world: World, session: Session) -> None:
    transport = session.transport
    one = transport.texts([SENTENCE])
    number = transport.input("text", numpy.zeros((1, 1), dtype=numpy.float32), "FP32")
    wide = transport.input("text", numpy.array([[b"a", b"b"]], dtype=object), "BYTES")
    other = transport.input("txt", numpy.array([[b"a"]], dtype=object), "BYTES")
    many = transport.texts([SENTENCE] * 257)
    cases: list[tuple[str, str, list[Any], dict[str, Any], str]] = [
        ("an unknown model", "sentimnt", [one], {}, UNKNOWN),
        ("an unknown version", TEXT_MODEL, [one], {"model_version": "9"},
         "Request for unknown model: 'sentiment' version 9 is not found"),
        ("a wrong datatype", TEXT_MODEL, [number], {},
         "inference input 'text' data-type is 'FP32', but model 'sentiment' expects 'BYTES'"),
        ("a wrong shape", TEXT_MODEL, [wide], {},
         "unexpected shape for input 'text' for model 'sentiment'. Expected [-1,1], got [1,2]"),
        ("an unknown input", TEXT_MODEL, [other], {}, "unexpected inference input 'txt' for model 'sentiment'"),
        ("no input", TEXT_MODEL, [], {}, "but got 0 inputs for model 'sentiment'"),
        ("too many rows", TEXT_MODEL, [many], {}, "inference request batch-size must be <= 256 for 'sentiment'"),
        ("an unknown output", TEXT_MODEL, [one], {"outputs": [transport.output("nothing")]},
         "unexpected inference output 'nothing' for model 'sentiment'"),
        ("an empty text", TEXT_MODEL, [transport.texts([SENTENCE, ""])], {}, "the text is empty"),
    ]
    for sent, model, inputs, options, words in cases:
        with refused(sent, InferenceServerException, words):
            await session.ask("infer", model, inputs, **options)


@check("a body that is too large", server="small")
async def oversize(world: World, session: Session) -> None:
    status = "RESOURCE_EXHAUSTED" if session.transport.grpc else "413"
    with refused("8,000 bytes where 4,096 are allowed", InferenceServerException, status, "4096"):
        await session.ask("infer", TEXT_MODEL, [session.transport.texts(["film " * 1600])])


@check("logging and trace settings", server="control")
async def settings(world: World, session: Session) -> None:
    shown = await session.show("get_log_settings")
    shown = shown["settings"] if session.transport.grpc else shown
    wanted = {"log_info", "log_warning", "log_error", "log_verbose_level"}
    holds("get_log_settings", f"at least {wanted}", shown, truth=wanted <= set(shown))
    for level in (1, 0):
        changed = await session.show("update_log_settings", {"log_verbose_level": level})
        got = changed["settings"]["log_verbose_level"]["uint32_param"] if session.transport.grpc else None
        same("update_log_settings", level, int(changed["log_verbose_level"] if got is None else got))
    shown = await session.show("get_trace_settings")
    shown = shown["settings"] if session.transport.grpc else shown
    level = shown["trace_level"]["value"] if session.transport.grpc else shown["trace_level"]
    same("get_trace_settings", ["OFF"], level)


@check("shared memory, which is not offered")
async def shared_memory(world: World, session: Session) -> None:
    for method in ("get_system_shared_memory_status", "get_cuda_shared_memory_status"):
        with refused(method, InferenceServerException):
            await session.ask(method)


def arithmetic(sent: str, answer: Any, left: numpy.ndarray, right: numpy.ndarray) -> None:
    for name, expected in (("OUTPUT0", left + right), ("OUTPUT1", left - right)):
        got = numpy.array(answer.as_numpy(name)).astype(numpy.int32)
        same(f"{sent}, {name}", expected.tolist(), got.tolist())


@check("the public models simple, simple_string, simple_identity", server="public")
async def public_models(world: World, session: Session) -> None:
    transport = session.transport
    left = numpy.arange(32, dtype=numpy.int32).reshape(2, 16)
    right = numpy.full((2, 16), 3, dtype=numpy.int32)
    for binary in transport.forms:
        pair = [("INPUT0", left), ("INPUT1", right)]
        inputs = [transport.input(name, data, "INT32", binary=binary) for name, data in pair]
        arithmetic(f"simple, binary {binary}", await session.ask("infer", "simple", inputs), left, right)
        texts = [(name, data.astype(str).astype(object)) for name, data in pair]
        inputs = [transport.input(name, data, "BYTES", binary=binary) for name, data in texts]
        arithmetic(f"simple_string, binary {binary}", await session.ask("infer", "simple_string", inputs), left, right)
        words = numpy.array([["ä", "", "three words here"]], dtype=object)
        inputs = [transport.input("INPUT0", words, "BYTES", binary=binary)]
        answer = (await session.ask("infer", "simple_identity", inputs)).as_numpy("OUTPUT0")
        got = [word.decode() if isinstance(word, bytes) else word for word in answer[0]]
        same(f"simple_identity, binary {binary}", words[0].tolist(), got)


@check("many requests at once")
async def at_once(world: World, session: Session) -> None:
    transport = session.transport
    inputs = [transport.texts([SENTENCE])]
    if transport.waits:
        answers = await asyncio.gather(*(session.ask("infer", TEXT_MODEL, inputs) for _ in range(64)))
    elif transport.grpc:
        done: asyncio.Queue = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def take(result: Any, error: Any) -> None:
            loop.call_soon_threadsafe(done.put_nowait, error or result)

        for _ in range(64):
            session.client.async_infer(TEXT_MODEL, inputs, take)
        answers = [await asyncio.wait_for(done.get(), 30) for _ in range(64)]
    else:
        pending = [session.client.async_infer(TEXT_MODEL, inputs) for _ in range(64)]
        answers = [one.get_result() for one in pending]
    for answer in answers:
        if isinstance(answer, Exception):
            raise Mismatch("64 requests at once", "64 answers", answer)
        same("64 requests at once", bits(world.text_scores[:1]), bits(answer.as_numpy("scores")))


STREAMED = [SENTENCES[0], "", SENTENCES[1], SENTENCES[2]]


@check("streams", only="triton-grpc")
async def streams(world: World, session: Session) -> None:
    transport = session.transport
    requests = [(str(at), [transport.texts([text])]) for at, text in enumerate(STREAMED)]
    answers: list[tuple[Any, Any]] = []
    if transport.waits:

        async def ask() -> Any:
            for request_id, inputs in requests:
                yield {"model_name": TEXT_MODEL, "inputs": inputs, "request_id": request_id}

        async for result, error in session.client.stream_infer(ask()):
            answers.append((result, error))
    else:
        session.client.start_stream(lambda result, error: answers.append((result, error)))
        for request_id, inputs in requests:
            session.client.async_stream_infer(TEXT_MODEL, inputs, request_id=request_id)
        session.client.stop_stream()
    same("4 requests in a stream", 4, len(answers))
    scores = [world.text_scores[0], None, world.text_scores[1], world.text_scores[2]]
    for at, ((result, error), expected) in enumerate(zip(answers, scores, strict=True)):
        sent = f"request {at} of a stream, {STREAMED[at]!r}"
        if expected is None:
            holds(sent, "an error that says that the text is empty", error, truth="the text is empty" in str(error))
        else:
            same(sent, None, error)
            same(sent, str(at), result.get_response().id)
            same(sent, bits(expected), bits(result.as_numpy("scores")))
