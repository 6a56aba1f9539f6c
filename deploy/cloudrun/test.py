"""Follows the README of Cloud Run and Knative, with `gcloud`, `kubectl`, `curl` and `grpcurl` played.

The contracts are Google's page "Container runtime contract" and Knative's "Runtime contract".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stage.front import Fronts
from stage.grpcurl import grpcurl
from stage.knative import ADDED_HEADERS, PORT, revision, start
from stage.manifests import Manifest, read
from stage.options import Grammar, Parsed, parse
from stage.pod import Pod
from stage.programs import Call
from stage.refusal import Refusal, require
from stage.registry import ImageRegistry
from stage.stage import Stage

REGION, PROJECT_NUMBER = "europe-west1", "111122223333"
START_SECONDS = 60.0
# Cloud Run's own.
GRACE_SECONDS = 10
PROBE_KEYS = {
    "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold", "httpGet.port", "httpGet.path",
}  # fmt: skip
DEPLOY = Grammar(
    required=(
        "--image", "--region", "--cpu", "--memory", "--concurrency", "--timeout", "--startup-probe", "--liveness-probe",
        "--set-env-vars",
    ),
    flags=("--allow-unauthenticated", "--use-http2"),
    positional=1,
)  # fmt: skip


def play(stage: Stage) -> None:
    """Follows the README, then takes its containers away."""
    platform = Platform(stage)
    players = {"docker": platform.registry.docker, "gcloud": platform.gcloud, "kubectl": platform.kubectl}
    led = {"curl": platform.curl, "grpcurl": lambda call: grpcurl(platform.fronts, call)}
    stage.follow("deploy/cloudrun/README.md", players | led)
    platform.pods.append(at_another_port(stage))
    for pod in platform.pods:
        pod.delete()
        pod.check()
    print(f"   {len(platform.pods)} containers ended within their grace time", flush=True)


def at_another_port(stage: Stage) -> Pod:
    """The port is the platform's to choose."""
    [manifest] = read(stage.root / "deploy/cloudrun/knative.yaml")
    [container] = manifest["spec"]["template"]["spec"]["containers"]
    for place, name in ((container["ports"][0], "containerPort"), (container["readinessProbe"]["httpGet"], "port"),
                        (container["livenessProbe"]["httpGet"], "port")):  # fmt: skip
        place[name] = 9191
    pod = start(stage.engine, revision(manifest))
    pod.await_ready(START_SECONDS)
    return pod


@dataclass
class Platform:
    """A project, and a cluster with Knative."""

    stage: Stage
    registry: ImageRegistry = field(default_factory=lambda: ImageRegistry(f"{REGION}-docker.pkg.dev"))
    fronts: Fronts = field(default_factory=lambda: Fronts(headers=ADDED_HEADERS))
    pods: list[Pod] = field(default_factory=list)

    def gcloud(self, call: Call) -> str:
        """`gcloud run deploy`."""
        require(call.words[:2] == ["run", "deploy"], f"Invalid choice: gcloud {' '.join(call.words)}")
        given = parse(call.words[2:], DEPLOY)
        require(given["--region"] == REGION, f"the repository of the image is in {REGION}")
        require({"--allow-unauthenticated", "--use-http2"} == given.flags, "the README's callers need both flags")
        require(1 <= int(given["--concurrency"]) <= 1000 and 1 <= int(given["--timeout"]) <= 3600, "out of range")
        self.registry.pull(given["--image"])
        pod = start(self.stage.engine, self._revision(given))
        seconds = pod.await_ready(START_SECONDS)
        self.pods.append(pod)
        name = given.positional[0]
        host = f"{name}-{PROJECT_NUMBER}.{REGION}.run.app"
        self.fronts.open(host, 443, lambda: pod.container.connect(PORT, 10.0))
        return f"Service [{name}] has been deployed after {seconds:.2f} s.\nService URL: https://{host}\n"

    @staticmethod
    def _revision(given: Parsed) -> Manifest:
        variables = dict(pair.split("=", 1) for pair in given["--set-env-vars"].split(","))
        container = {
            "name": "sconce",
            "image": given["--image"],
            "env": [{"name": name, "value": value} for name, value in variables.items()],
            "ports": [{"name": "h2c", "containerPort": PORT}],
            "startupProbe": probe(given["--startup-probe"]),
            "livenessProbe": probe(given["--liveness-probe"]),
        }
        return {"containers": [container], "terminationGracePeriodSeconds": GRACE_SECONDS}

    def kubectl(self, call: Call) -> str:
        """The part of Kubernetes' program that the README uses."""
        match call.words:
            case ["apply", "-f", file]:
                [manifest] = read(call.file(file))
                spec = revision(manifest)
                self.registry.pull(spec["containers"][0]["image"])
                pod = start(self.stage.engine, spec)
                self.pods.append(pod)
                name = manifest["metadata"]["name"]
                self.fronts.open(f"{name}.default.example.com", 80, lambda: pod.container.connect(PORT, 10.0))
                return f"service.serving.knative.dev/{name} created\n"
            case ["wait", "--for=condition=Ready", "services.serving.knative.dev/sconce", "--timeout", "2m"]:
                self.pods[-1].await_ready(120)
                return "service.serving.knative.dev/sconce condition met\n"
        raise Refusal(f"error: unknown command {' '.join(call.words)}")

    def curl(self, call: Call) -> str:
        """The front speaks HTTP/2 to a container that was deployed so, whatever its callers speak."""
        return self.fronts.curl(Call(["--http2-prior-knowledge", *call.words], call.folder))


def probe(text: str) -> Manifest:
    """`httpGet.path=/,periodSeconds=1` as a probe of Kubernetes."""
    said = dict(pair.split("=", 1) for pair in text.split(","))
    unknown = set(said) - PROBE_KEYS
    require(not unknown, f"Key {sorted(unknown)} not recognized")
    action = {"path": said.pop("httpGet.path"), "port": int(said.pop("httpGet.port", PORT))}
    return {"httpGet": action} | {name: int(value) for name, value in said.items()}
