"""Manifests of Kubernetes: reading them, and checking them against the API's schemas, which know every field."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from .refusal import Refusal, require

Manifest = dict[str, Any]
# The oldest release whose API has everything that is used (a preStop that sleeps), and a late one.
KUBERNETES_VERSIONS = ("1.30", "1.37")


def read(path: Path) -> list[Manifest]:
    """Every document of a YAML file."""
    return parse(path.read_text(encoding="utf-8"), str(path))


def parse(text: str, source: str) -> list[Manifest]:
    """Every document of a YAML text; a key that comes twice is a mistake."""
    try:
        import yaml
    except ImportError:
        raise Refusal("YAML cannot be read: PyPI was not reached, and python3-yaml is not installed") from None

    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
        keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        require(not twice, f"{source}: {sorted(twice)} twice in one mapping, line {node.start_mark.line + 1}")
        return loader.construct_mapping(node, deep=True)

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return [document for document in yaml.load_all(text, Loader=Strict) if document is not None]
    except yaml.YAMLError as error:
        raise Refusal(f"{source}: {error}") from None


def check(manifest: Manifest) -> None:
    """Refuses what the API server would refuse."""
    try:
        import kubernetes_validate
    except ImportError:
        # Said loudly by who installs the packages.
        return
    for version in KUBERNETES_VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(map(str, error.path))
            raise Refusal(f"{title(manifest)} for Kubernetes {version}: {where}: {error.message}") from None


def check_pod(spec: Manifest, name: str) -> None:
    """Checks what is to become a pod, wherever it stands."""
    check({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def check_restricted(spec: Manifest) -> None:
    """The pod security standard `restricted`, as far as a pod of ordinary volumes can break it."""
    pod = spec.get("securityContext", {})
    require(not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")), "a namespace of the host")
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        name = container["name"]
        require(own.get("runAsNonRoot", pod.get("runAsNonRoot")) is True, f"{name}: runAsNonRoot is not true")
        require(own.get("runAsUser", pod.get("runAsUser")) != 0, f"{name}: runAsUser is 0")
        seccomp = own.get("seccompProfile", pod.get("seccompProfile", {}))
        require(seccomp.get("type") == "RuntimeDefault", f"{name}: seccompProfile is not RuntimeDefault")
        require(own.get("allowPrivilegeEscalation") is False, f"{name}: allowPrivilegeEscalation is not false")
        require(own.get("capabilities", {}).get("drop") == ["ALL"], f"{name}: capabilities are not dropped")
        require("privileged" not in own, f"{name}: privileged")
    allowed = {"name", "configMap", "emptyDir", "projected", "persistentVolumeClaim", "secret", "downwardAPI", "csi"}
    for volume in spec.get("volumes", []):
        require(set(volume) <= allowed, f"volume {volume['name']}: only {sorted(allowed)} are allowed")


def title(manifest: Manifest) -> str:
    """`Deployment sconce`."""
    return f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"


def folder_of(data: dict[str, str]) -> Path:
    """A ConfigMap's data as the folder that a pod sees."""
    folder = Path(tempfile.mkdtemp(prefix="config-"))
    folder.chmod(0o755)
    for name, text in data.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
