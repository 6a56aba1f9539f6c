"""A cluster as `kubectl` sees it: manifests are checked and applied, deployments run, services send to ready pods."""

from __future__ import annotations

import random
import socket
import threading
import time
from dataclasses import dataclass, field

from .container import Engine
from .front import Fronts
from .kustomize import render
from .manifests import Manifest, check, check_restricted, read, title
from .pod import Pod, Surroundings
from .programs import Call
from .refusal import Refusal, require
from .registry import ImageRegistry

READY_SECONDS = 90
# How kubectl writes a kind.
GROUPS = {
    "Deployment": "deployment.apps",
    "PodDisruptionBudget": "poddisruptionbudget.policy",
    "HorizontalPodAutoscaler": "horizontalpodautoscaler.autoscaling",
    "NetworkPolicy": "networkpolicy.networking.k8s.io",
}


@dataclass
class Cluster:
    """A cluster with one namespace that is used."""

    engine: Engine
    registry: ImageRegistry
    fronts: Fronts = field(default_factory=Fronts)
    objects: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    pods: dict[str, list[Pod]] = field(default_factory=dict)
    _ends: list[threading.Thread] = field(default_factory=list)
    _all: list[Pod] = field(default_factory=list)

    def kubectl(self, call: Call) -> str:
        """The part of Kubernetes' program that READMEs use."""
        match call.words:
            case ["apply", "-k", folder]:
                return self._apply_all(render(call.file(folder)))
            case ["apply", "-f", file]:
                return self._apply_all(read(call.file(file)))
            case ["--namespace", namespace, *words]:
                require(("Namespace", namespace) in self.objects, f'namespaces "{namespace}" not found')
                return self._in_namespace(words)
        raise Refusal(f"error: unknown command {' '.join(call.words)}")

    def _in_namespace(self, words: list[str]) -> str:
        match words:
            case ["rollout", "status", target]:
                name = self._deployment(target)
                self.wait(name)
                return f'deployment "{name}" successfully rolled out\n'
            case ["rollout", "restart", target]:
                name = self._deployment(target)
                rolling = threading.Thread(target=self.roll, args=(name,), daemon=True)
                self._ends.append(rolling)
                rolling.start()
                return f"deployment.apps/{name} restarted\n"
            case ["port-forward", target, ports]:
                kind, _, name = target.partition("/")
                require(kind == "service", f"{target} is not played here")
                here, there = map(int, ports.split(":"))
                self.fronts.open("localhost", here, lambda: self.connect(name, there))
                return f"Forwarding from 127.0.0.1:{here} -> {there}\n"
        raise Refusal(f"error: unknown command {' '.join(words)}")

    def _apply_all(self, manifests: list[Manifest]) -> str:
        for manifest in manifests:
            check(manifest)
        return "".join(self._apply(manifest) for manifest in manifests)

    def _apply(self, manifest: Manifest) -> str:
        key = (manifest["kind"], manifest["metadata"]["name"])
        before = self.objects.get(key)
        self.objects[key] = manifest
        if manifest["kind"] == "Deployment":
            self._run(manifest)
        done = "created" if before is None else "unchanged" if before == manifest else "configured"
        return f"{GROUPS.get(key[0], key[0].lower())}/{key[1]} {done}\n"

    def _run(self, deployment: Manifest) -> None:
        spec = deployment["spec"]["template"]["spec"]
        labels = self.objects["Namespace", deployment["metadata"]["namespace"]]["metadata"]["labels"]
        require(labels["pod-security.kubernetes.io/enforce"] == "restricted", "the namespace restricts nothing")
        check_restricted(spec)
        for account in [spec["serviceAccountName"]]:
            require(("ServiceAccount", account) in self.objects, f'serviceaccount "{account}" not found')
        require(spec["automountServiceAccountToken"] is False, f"{title(deployment)} mounts a token")
        selector = deployment["spec"]["selector"]["matchLabels"].items()
        require(selector <= deployment["spec"]["template"]["metadata"]["labels"].items(), "selects none of its pods")
        name = deployment["metadata"]["name"]
        self.pods[name] = [self.start(spec)]

    def start(self, spec: Manifest) -> Pod:
        """A new pod."""
        self.registry.pull(spec["containers"][0]["image"])
        configurations = {name: item["data"] for (kind, name), item in self.objects.items() if kind == "ConfigMap"}
        pod = Pod(self.engine, spec, Surroundings(configurations))
        self._all.append(pod)
        return pod

    def wait(self, name: str) -> None:
        """Until as many pods as there are to be are ready, and those that are to end have ended."""
        replicas = self._replicas(name)
        spec = self.objects["Deployment", name]["spec"]["template"]["spec"]
        while len(self.pods[name]) < replicas:
            self.pods[name].append(self.start(spec))
        deadline = time.monotonic() + READY_SECONDS
        while any(thread.is_alive() for thread in self._ends) or not all(pod.ready for pod in self.pods[name]):
            require(time.monotonic() < deadline, f"{name} is not rolled out after {READY_SECONDS} s")
            self.check_pods()
            time.sleep(0.02)
        self.check_pods()

    def _replicas(self, name: str) -> int:
        """As its autoscaler says, whose least number holds even without metrics."""
        for (kind, _), item in self.objects.items():
            if kind == "HorizontalPodAutoscaler" and item["spec"]["scaleTargetRef"]["name"] == name:
                return int(item["spec"]["minReplicas"])
        return int(self.objects["Deployment", name]["spec"].get("replicas", 1))

    def roll(self, name: str) -> None:
        """A rolling update, by the strategy of the deployment: one more at a time, none less."""
        deployment = self.objects["Deployment", name]["spec"]
        rolling = deployment["strategy"]["rollingUpdate"]
        require(rolling == {"maxSurge": 1, "maxUnavailable": 0}, f"{rolling} is not played here")
        for old in list(self.pods[name]):
            new = self.start(deployment["template"]["spec"])
            self.pods[name].append(new)
            new.await_ready(READY_SECONDS)
            ending = threading.Thread(target=old.delete, daemon=True)
            self._ends.append(ending)
            ending.start()
            self.pods[name].remove(old)

    def connect(self, service: str, port: int | str) -> socket.socket:
        """A connection by a service, to a pod that the node takes for ready."""
        spec = self.objects["Service", service]["spec"]
        target = next(item["targetPort"] for item in spec["ports"] if port in (item["port"], item["name"]))
        ready = [pod for pod in self._all if pod.ready]
        require(ready, f"the service {service} has no endpoint")
        pod = random.choice(ready)
        return pod.container.connect(pod.port(target), 10.0)

    def check_pods(self) -> None:
        """Refuses when a pod was restarted or killed."""
        failures = [failure for pod in self._all for failure in pod.failures]
        require(not failures, "; ".join(failures))

    def end(self) -> None:
        """Deletes every pod, all at once."""
        running = [pod for pods in self.pods.values() for pod in pods]
        ends = [threading.Thread(target=pod.delete) for pod in running]
        for thread in ends:
            thread.start()
        for thread in ends:
            thread.join()
        self.check_pods()

    def _deployment(self, target: str) -> str:
        kind, _, name = target.partition("/")
        require(kind == "deployment" and ("Deployment", name) in self.objects, f"{target} not found")
        return name
