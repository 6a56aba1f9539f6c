"""TorchServe's calls: curl lines of its documentation, by `requests`."""

from __future__ import annotations

from ..asking import ask, get, has_members, post
from ..cells import Client, holds, same
from ..world import PICTURE, PICTURE_MODEL, SENTENCE, SENTENCES, TEXT_MODEL, World, bits

CLIENT = Client("torchserve", "requests, TorchServe's calls", "requests")


def scored(sent: str, expected: list[tuple[str, float]], got: dict[str, float]) -> None:
    same(sent, [label for label, _ in expected], list(got))
    same(sent, bits([score for _, score in expected]), bits(list(got.values())))


@CLIENT.contract("TorchServe: ping and the API's description")
def ping(world: World) -> None:
    url = world.server().url
    same("GET /ping", {"status": "Healthy"}, get(f"{url}/ping").json())
    has_members("OPTIONS /", {"openapi", "paths"}, ask("OPTIONS", f"{url}/"))


@CLIENT.contract("TorchServe: predictions of raw bodies")
def raw(world: World) -> None:
    url = f"{world.server().url}/predictions"
    text = world.best(TEXT_MODEL, world.text_scores[0])
    picture = world.best(PICTURE_MODEL, world.picture_scores[0])[:5]
    for verb in ("POST", "PUT"):
        for version in ("", "/1", "/1.0"):
            answer = ask(verb, f"{url}/{TEXT_MODEL}{version}", data=SENTENCE, headers={"Content-Type": "text/plain"})
            scored(f"{verb} a text, version {version!r}", text, answer.json())
            holds("a text", "the header x-request-id", answer.headers, truth="x-request-id" in answer.headers)
            # What `curl -T picture` sends: no content type.
            answer = ask(verb, f"{url}/{PICTURE_MODEL}{version}", data=PICTURE.read_bytes())
            scored(f"{verb} a picture, version {version!r}", picture, answer.json())


@CLIENT.contract("TorchServe: predictions of forms and of JSON")
def forms(world: World) -> None:
    url = f"{world.server().url}/predictions"
    picture = world.best(PICTURE_MODEL, world.picture_scores[0])[:5]
    answer = post(f"{url}/{PICTURE_MODEL}", files={"data": PICTURE.open("rb")})
    scored("curl -F data=@picture", picture, answer.json())
    answer = post(f"{url}/{TEXT_MODEL}", json={"instances": [{"data": text} for text in SENTENCES]})
    rows = answer.json()["predictions"]
    for text, row, scores in zip(SENTENCES, rows, world.text_scores, strict=True):
        scored(text, world.best(TEXT_MODEL, scores), row)


@CLIENT.contract("TorchServe: errors")
def errors(world: World) -> None:
    url = world.server().url
    for path, status, kind in [
        ("/predictions/sentimnt", 404, "ModelNotFoundException"),
        (f"/predictions/{TEXT_MODEL}/9", 404, "ModelVersionNotFoundException"),
        (f"/predictions/{TEXT_MODEL}", 400, None),
        (f"/explanations/{TEXT_MODEL}", 501, None),
    ]:
        answer = post(f"{url}{path}", status, data=b"" if kind is None else b"a", headers={"Content-Type": "text/plain"})
        got = has_members(path, {"code", "type", "message"}, answer)
        same(path, status, got["code"])
        if kind:
            same(path, kind, got["type"])
    same("a body that is too large", 413,
         post(f"{world.server('small').url}/predictions/{TEXT_MODEL}", 413, data=b"a" * 8000).json()["code"])


@CLIENT.contract("TorchServe: management on the operators' listener only")
def management(world: World) -> None:
    admin = world.server("control").admin
    listed = get(f"{admin}/models").json()
    names = [model["modelName"] for model in listed["models"]]
    holds("GET /models", "the bundled models", names, truth={TEXT_MODEL, PICTURE_MODEL} <= set(names))
    first = get(f"{admin}/models", params={"limit": 1}).json()
    same("GET /models?limit=1", 1, len(first["models"]))
    token = first["nextPageToken"]
    rest = get(f"{admin}/models", params={"limit": 100, "next_page_token": token}).json()
    same("the next page", len(names) - 1, len(rest["models"]))
    for path in (f"/models/{TEXT_MODEL}", f"/models/{TEXT_MODEL}/1.0", f"/models/{TEXT_MODEL}/all"):
        described = get(f"{admin}{path}").json()
        wanted = {"modelName", "modelVersion", "modelUrl", "minWorkers", "maxWorkers", "batchSize", "maxBatchDelay",
                  "workers"}
        holds(path, f"a list of one with {sorted(wanted)}", described,
              truth=len(described) == 1 and wanted <= set(described[0]))
    has_members("an unknown model", {"code", "type", "message"}, get(f"{admin}/models/sentimnt", 404))
    # On the port for everyone these paths are SageMaker's, which lists nothing unless it is a multi-model endpoint.
    open_to_all = world.server("control").url
    has_members("PUT on the other listener", {"code"}, ask("PUT", f"{open_to_all}/models/{TEXT_MODEL}?min_worker=2", 405))


@CLIENT.contract("TorchServe: unregister, register")
def registration(world: World) -> None:
    server = world.server("control")
    model = "intents"
    answer = ask("DELETE", f"{server.admin}/models/{model}")
    same("unregister", {"status": f'Model "{model}" unregistered'}, answer.json())
    post(f"{server.url}/predictions/{model}", 404, data=b"hello", headers={"Content-Type": "text/plain"})
    answer = post(f"{server.admin}/models", params={"url": model, "initial_workers": 1, "synchronous": "true"})
    words = f'Model "{model}" Version: 1 registered with'
    holds("register", words, answer.json(), truth=answer.json()["status"].startswith(words))
    post(f"{server.url}/predictions/{model}", data=b"hello", headers={"Content-Type": "text/plain"})
    has_members("register what is not there", {"code", "type", "message"},
                post(f"{server.admin}/models", 404, params={"url": "sentimnt"}))
    plain = world.server()
    has_members("register where it is off", {"code"}, post(f"{plain.admin}/models", 501, params={"url": model}))


CLIENTS = [CLIENT]
