"""KServe's side: which fields its resources have, and the pod that comes of a runtime and a service of a model.

The fields are those of the custom resource definitions of KServe's repository (config/crd/full, commit aaac4e294); what
is in them of Kubernetes' own is checked against its schemas, as the pod that is made of it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping

from .manifests import Manifest, check_pod, check_restricted
from .refusal import Refusal, require

MODEL_FOLDER = "/mnt/models"
RUNTIME = {
    "affinity", "annotations", "builtInAdapter", "containers", "disabled", "grpcDataEndpoint", "grpcEndpoint",
    "hostIPC", "httpDataEndpoint", "imagePullSecrets", "labels", "multiModel", "nodeSelector", "protocolVersions",
    "replicas", "resourceClaims", "schedulerName", "storageHelper", "supportedModelFormats", "tolerations", "volumes",
    "workerSpec",
}  # fmt: skip
FORMAT = {"name": str, "version": str, "autoSelect": bool, "priority": int}
PREDICTOR = {"minReplicas": int, "maxReplicas": int, "scaleMetric": str, "scaleTarget": int, "timeout": int}
MODEL = {"modelFormat": dict, "protocolVersion": str, "storageUri": str, "runtime": str, "runtimeVersion": str}
PROTOCOLS = {"v1", "v2", "grpc-v1", "grpc-v2"}
SCALE_METRICS = {"cpu", "memory", "concurrency", "rps"}
STORAGE = ("s3://", "gs://", "pvc://", "https://", "http://", "hf://", "oci://", "hdfs://", "webhdfs://", "file://")


def check_runtime(runtime: Manifest) -> None:
    """Refuses what is no runtime, or one that KServe would not find its container in."""
    top(runtime, "serving.kserve.io/v1alpha1", "ClusterServingRuntime")
    spec = runtime["spec"]
    unknown = set(spec) - RUNTIME
    require(not unknown, f"unknown field {sorted(unknown)} in spec")
    names = [container["name"] for container in spec["containers"]]
    require(names == ["kserve-container"], f"containers {names}, expected kserve-container")
    for offered in spec["supportedModelFormats"]:
        typed(offered, FORMAT, "supportedModelFormats")
        require(offered.get("priority", 1) >= 1, "priority: at least 1")
    require(set(spec["protocolVersions"]) <= PROTOCOLS, f"protocolVersions: {spec['protocolVersions']}")
    notes = spec["annotations"]
    require(all(isinstance(note, str) for note in notes.values()), f"annotations: expected texts: {notes}")


def check_service(service: Manifest) -> None:
    """Refuses what is no service of one model."""
    top(service, "serving.kserve.io/v1beta1", "InferenceService")
    require(set(service["spec"]) == {"predictor"}, f"spec: {sorted(service['spec'])}")
    predictor = dict(service["spec"]["predictor"])
    model = predictor.pop("model")
    typed(predictor, PREDICTOR, "predictor")
    require(predictor.get("scaleMetric", "cpu") in SCALE_METRICS, f"scaleMetric: {predictor.get('scaleMetric')}")
    typed({name: value for name, value in model.items() if name != "ports"}, MODEL, "model")
    typed(model["modelFormat"], {"name": str, "version": str}, "modelFormat")
    require(model["protocolVersion"] in PROTOCOLS, f"protocolVersion: {model['protocolVersion']}")
    require(model["storageUri"].startswith(STORAGE), f"storageUri: {model['storageUri']}, expected {STORAGE}")


def pod_of(runtimes: list[Manifest], service: Manifest) -> Manifest:
    """The pod of a service's model: the runtime's container, with what the service says over it and names filled in."""
    model = service["spec"]["predictor"]["model"]
    spec = _selected(runtimes, model)
    container = copy.deepcopy(spec["containers"][0])
    for said in model.get("ports", []):
        [port] = [port for port in container["ports"] if port["containerPort"] == said["containerPort"]]
        port.update(said)
    container["args"] = [_filled(word, service["metadata"]["name"]) for word in container["args"]]
    mount = {"name": "kserve-provision-location", "mountPath": MODEL_FOLDER, "readOnly": True}
    check_pod(
        {
            "containers": [container | {"volumeMounts": [mount]}],
            "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
        },
        service["metadata"]["name"],
    )
    pod = {"containers": [container], "terminationGracePeriodSeconds": 60}
    check_restricted(pod)
    return pod


def _selected(runtimes: list[Manifest], model: Manifest) -> Manifest:
    wanted, protocol = model["modelFormat"]["name"], model["protocolVersion"]
    for runtime in runtimes:
        spec: Manifest = runtime["spec"]
        formats = [offered["name"] for offered in spec["supportedModelFormats"] if offered.get("autoSelect")]
        if wanted in formats and protocol in spec["protocolVersions"]:
            return spec
    raise Refusal(f"No runtime found to support specified framework/version: {wanted} with {protocol}")


def _filled(word: str, name: str) -> str:
    filled = word.replace("{{.Name}}", name)
    left = re.search(r"\{\{.*?\}\}", filled)
    require(left is None, f"{left and left[0]} is not played here")
    return filled


def top(manifest: Manifest, version: str, kind: str) -> None:
    """What every resource has."""
    found = (manifest["apiVersion"], manifest["kind"])
    require(found == (version, kind), f"no matches for kind {found[1]} in version {found[0]}, expected {kind}")
    unknown = set(manifest) - {"apiVersion", "kind", "metadata", "spec"}
    require(not unknown, f"unknown field {sorted(unknown)}")


def typed(found: Manifest, members: Mapping[str, type], where: str) -> None:
    """Refuses unknown members, and values of another type."""
    for name, value in found.items():
        require(name in members, f"unknown field {name} in {where}")
        require(type(value) is members[name], f"{where}.{name} is {value!r}, expected {members[name].__name__}")
