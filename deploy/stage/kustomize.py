"""A kustomization as `kubectl kustomize` renders it, or where there is no kubectl, as far as it is used here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .manifests import Manifest, parse, read
from .refusal import Refusal, require

# What others need comes first, as kubectl has it.
FIRST = ("Namespace", "ServiceAccount", "ConfigMap", "Service")
KNOWN = {"apiVersion", "kind", "namespace", "resources", "configMapGenerator"}


def render(folder: Path) -> list[Manifest]:
    """Every manifest of a kustomization. All files that it names have to be there, and all that are there named."""
    kustomization = _kustomization(folder)
    if kubectl := shutil.which("kubectl"):
        rendered = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
        require(rendered.returncode == 0, rendered.stderr)
        return parse(rendered.stdout, str(folder))
    return _without_kubectl(folder, kustomization)


def _kustomization(folder: Path) -> Manifest:
    [kustomization] = read(folder / "kustomization.yaml")
    require(kustomization["kind"] == "Kustomization", "kustomization.yaml is no Kustomization")
    unknown = set(kustomization) - KNOWN
    if unknown:
        raise Refusal(f"kustomization.yaml: {sorted(unknown)} are not known here, only {sorted(KNOWN)}")
    generated = [file for generator in kustomization["configMapGenerator"] for file in generator["files"]]
    for name in [*kustomization["resources"], *generated]:
        require((folder / name).is_file(), f"kustomization.yaml names {name}, which is not there")
    return kustomization


def _without_kubectl(folder: Path, kustomization: Manifest) -> list[Manifest]:
    manifests = [manifest for name in kustomization["resources"] for manifest in read(folder / name)]
    for generator in kustomization["configMapGenerator"]:
        data = {Path(name).name: (folder / name).read_text(encoding="utf-8") for name in generator["files"]}
        metadata = {"name": generator["name"]}
        manifests.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    for manifest in manifests:
        if manifest["kind"] != "Namespace":
            manifest["metadata"]["namespace"] = kustomization["namespace"]
    return sorted(
        manifests, key=lambda manifest: FIRST.index(manifest["kind"]) if manifest["kind"] in FIRST else len(FIRST)
    )
