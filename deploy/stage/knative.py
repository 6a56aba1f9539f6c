"""Knative's and Cloud Run's side of the container contract: PORT, probes, h2c, and an end within a grace time."""

from __future__ import annotations

from typing import Any

from .container import Engine, Mount
from .manifests import Manifest, check_pod, check_restricted
from .pod import Pod, Surroundings
from .refusal import require

PORT = 8080
# What the platform's front adds to every request.
ADDED_HEADERS = {
    "forwarded": 'for="203.0.113.7";proto=https',
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-cloud-trace-context": "105445aa7843bc8bf206b12000100000/1;o=1",
    "x-forwarded-proto": "https",
}
REVISION = {"containerConcurrency", "timeoutSeconds"}
POD = {
    "containers", "volumes", "serviceAccountName", "imagePullSecrets", "enableServiceLinks",
    "automountServiceAccountToken",
}  # fmt: skip
METADATA = {
    "autoscaling.knative.dev/metric", "autoscaling.knative.dev/target", "autoscaling.knative.dev/min-scale",
    "autoscaling.knative.dev/max-scale",
}  # fmt: skip


def revision(manifest: Manifest) -> Manifest:
    """The pod that a Knative service's template describes, checked as Knative's webhook and the API's schema do it."""
    require(manifest["apiVersion"] == "serving.knative.dev/v1", f"apiVersion: {manifest['apiVersion']}")
    require(set(manifest) == {"apiVersion", "kind", "metadata", "spec"}, f"unknown field in {sorted(manifest)}")
    require(set(manifest["spec"]) <= {"template", "traffic"}, f"spec: unknown field in {sorted(manifest['spec'])}")
    template = manifest["spec"]["template"]
    unknown = set(template["metadata"].get("annotations", {})) - METADATA
    require(not unknown, f"invalid key name {sorted(unknown)}")
    spec: dict[str, Any] = dict(template["spec"])
    unknown = set(spec) - POD - REVISION
    require(not unknown, f"must not set the field(s) {sorted(unknown)}")
    concurrency, seconds = spec.pop("containerConcurrency"), spec.pop("timeoutSeconds")
    require(0 <= concurrency <= 1000, f"containerConcurrency: {concurrency}")
    require(0 < seconds <= 600, f"timeoutSeconds: {seconds}")
    [container] = spec["containers"]
    container.setdefault("name", "user-container")
    [port] = container["ports"]
    require(port.get("name") in (None, "http1", "h2c"), f"port name {port.get('name')}")
    for kind in ("readinessProbe", "livenessProbe"):
        probed = container[kind]["httpGet"].get("port", port["containerPort"])
        require(probed in (port["containerPort"], port.get("name")), f"{kind}: May only probe containerPort")
    check_pod(spec, "revision")
    check_restricted(spec)
    return spec | {"terminationGracePeriodSeconds": seconds}


def start(engine: Engine, spec: Manifest, mounts: list[Mount] | None = None) -> Pod:
    """A pod of a revision, told what the platform tells it."""
    port = spec["containers"][0]["ports"][0]["containerPort"]
    told = {
        "PORT": str(port),
        "K_SERVICE": "sconce",
        "K_CONFIGURATION": "sconce",
        "K_REVISION": "sconce-00001",
    }
    variables = {variable["name"] for variable in spec["containers"][0].get("env", [])}
    require(not variables & set(told), "PORT and K_ variables are the platform's own")
    return Pod(engine, spec, Surroundings(environment=told, mounts=mounts or []))
