"""Follows the README of KServe, with `kubectl`, `curl` and `grpcurl` played, then serves one version as a model."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

from stage.ask import Question, ask
from stage.container import Mount
from stage.front import Fronts
from stage.grpcurl import grpcurl
from stage.knative import PORT, start
from stage.kserve import MODEL_FOLDER, check_runtime, check_service, pod_of
from stage.manifests import Manifest, read
from stage.pod import Pod
from stage.programs import Call
from stage.refusal import Refusal, require
from stage.registry import ImageRegistry
from stage.stage import Stage

READY_SECONDS = 300
DOMAIN = "default.example.com"


def play(stage: Stage) -> None:
    """Follows the README, and ends every pod."""
    cluster = Cluster(stage, {"s3://models/": stage.root / "models"})
    players = {"docker": cluster.registry.docker, "kubectl": cluster.kubectl, "curl": cluster.curl}
    stage.follow("deploy/kserve/README.md", players | {"grpcurl": lambda call: grpcurl(cluster.fronts, call)})
    metrics_are_where_they_are_said(cluster)
    one_version_is_a_model(cluster)
    for pod in cluster.pods.values():
        pod.delete()
        pod.check()
    print(f"   {len(cluster.pods)} pods ended within their grace time", flush=True)


def metrics_are_where_they_are_said(cluster: Cluster) -> None:
    """The runtime's annotations lead Prometheus to the metrics."""
    notes = cluster.runtimes[0]["spec"]["annotations"]
    port, path = int(notes["prometheus.kserve.io/port"]), notes["prometheus.kserve.io/path"]
    answer = ask(cluster.pods["sentiment"].container, port, Question(path), 5.0)
    require(b'sconce_rows_total{model="sentiment"' in answer.body, f"{path} tells nothing of the model")


def one_version_is_a_model(cluster: Cluster) -> None:
    """A storageUri may name a version's own folder."""
    service = copy.deepcopy(cluster.services["sentiment"])
    service["metadata"]["name"] = "one"
    service["spec"]["predictor"]["model"]["storageUri"] = "s3://models/sentiment/1"
    pod = cluster.serve(service)
    pod.await_ready(READY_SECONDS)
    answer = ask(pod.container, PORT, Question("/v1/models/one"), 5.0)
    require(answer.json().get("ready") is True, f"/v1/models/one answered {answer.text()}")


@dataclass
class Cluster:
    """A cluster with KServe on Knative, and a storage from which models are fetched."""

    stage: Stage
    storage: dict[str, Path]
    registry: ImageRegistry = field(default_factory=lambda: ImageRegistry("registry.example.com"))
    fronts: Fronts = field(default_factory=Fronts)
    runtimes: list[Manifest] = field(default_factory=list)
    services: dict[str, Manifest] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)

    def kubectl(self, call: Call) -> str:
        """The part of Kubernetes' program that the README uses."""
        match call.words:
            case ["apply", "-f", file]:
                [manifest] = read(call.file(file))
                return self._apply(manifest)
            case ["wait", "--for=condition=Ready", target, "--timeout", "5m"] if target.startswith("inferenceservice/"):
                name = target.partition("/")[2]
                require(name in self.pods, f'inferenceservices "{name}" not found')
                self.pods[name].await_ready(READY_SECONDS)
                return f"inferenceservice.serving.kserve.io/{name} condition met\n"
        raise Refusal(f"error: unknown command {' '.join(call.words)}")

    def _apply(self, manifest: Manifest) -> str:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind == "ClusterServingRuntime":
            check_runtime(manifest)
            self.runtimes.append(manifest)
        else:
            self.serve(manifest)
            self.fronts.open(f"{name}.{DOMAIN}", 80, lambda: self.pods[name].container.connect(PORT, 10.0))
        return f"{kind.lower()}.serving.kserve.io/{name} created\n"

    def serve(self, service: Manifest) -> Pod:
        """Fetches the model, and starts a pod of its runtime."""
        check_service(service)
        name = service["metadata"]["name"]
        spec = pod_of(self.runtimes, service)
        self.registry.pull(spec["containers"][0]["image"])
        source = self._fetched(service["spec"]["predictor"]["model"]["storageUri"])
        self.services[name] = service
        self.pods[name] = start(self.stage.engine, spec, [Mount(source, MODEL_FOLDER)])
        return self.pods[name]

    def _fetched(self, address: str) -> Path:
        for prefix, folder in self.storage.items():
            place = folder / address.removeprefix(prefix)
            if address.startswith(prefix) and place.is_dir():
                return place
        raise Refusal(f"Failed to fetch model. No model found in {address}.")

    def curl(self, call: Call) -> str:
        """The ingress speaks HTTP/1.1 to a port that is not called h2c."""
        return self.fronts.curl(Call(["--http1.1", *call.words], call.folder))
