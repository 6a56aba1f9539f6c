"""Follows the README of the manifests in a played cluster, then watches the queue under load and a rolling update."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from stage.autoscaler import replicas, rule, scrape
from stage.cluster import Cluster
from stage.grpcurl import grpcurl
from stage.manifests import Manifest, read
from stage.options import Grammar, parse
from stage.programs import Call
from stage.refusal import Refusal, require
from stage.registry import ImageRegistry
from stage.stage import Stage

CLIENTS = 12
LONG_TEXT = "what is the weather in paris and will it rain tomorrow " * 40


def play(stage: Stage) -> None:
    """Follows the README; the cluster that it leaves is then put under load."""
    operator = Operator(Cluster(stage.engine, ImageRegistry("registry.example.com")))
    cluster = operator.cluster
    players = {"docker": cluster.registry.docker, "kubectl": operator.kubectl, "helm": operator.helm}
    stage.follow("deploy/kubernetes/README.md", players | {"curl": cluster.fronts.curl})
    only_these_may_ask(cluster)
    time_to_end(cluster, stage)
    both_ports_speak_grpc(cluster)
    a_deep_queue_asks_for_pods(operator)
    no_request_is_lost(cluster)
    cluster.end()


@dataclass
class Operator:
    """Who types the commands: a cluster, and the adapter that is installed into it."""

    cluster: Cluster
    adapter: Manifest = field(default_factory=dict)

    def helm(self, call: Call) -> str:
        """`helm upgrade --install`."""
        require(call.words[0] == "upgrade", f"unknown command {call.words[0]}")
        grammar = Grammar(("--namespace", "--values"), flags=("--install",), positional=2)
        given = parse(call.words[1:], grammar)
        require(given.positional[1] == "prometheus-community/prometheus-adapter", f"no chart {given.positional[1]}")
        [self.adapter] = read(call.file(given["--values"]))
        return f'Release "{given.positional[0]}" does not exist. Installing it now.\n'

    def kubectl(self, call: Call) -> str:
        """Kubernetes' program, with the autoscaler's status."""
        match call.words:
            case ["--namespace", _, "get", "horizontalpodautoscaler", name, "--output", template]:
                path = "jsonpath={.status.currentMetrics[0].pods.current.averageValue}"
                require(template == path, f"{template} is not played here")
                self.wanted(name)
                values = self.queues(name)
                return f"{sum(values) / len(values):.0f}"
        return self.cluster.kubectl(call)

    def queues(self, name: str) -> list[float]:
        """The adapter's metric of each pod."""
        require(self.adapter, "the autoscaler has no metrics: the adapter is not installed")
        target = self.autoscaler(name)["spec"]["scaleTargetRef"]["name"]
        template = self.cluster.objects["Deployment", target]["spec"]["template"]
        return [scrape(pod, template, rule(self.adapter).series) for pod in self.cluster.pods[target]]

    def wanted(self, name: str) -> int:
        """How many pods the autoscaler asks for at this moment."""
        return replicas(self.autoscaler(name), rule(self.adapter).metric, self.queues(name))

    def autoscaler(self, name: str) -> Manifest:
        """The autoscaler of this name."""
        require(("HorizontalPodAutoscaler", name) in self.cluster.objects, f"no autoscaler {name}")
        return self.cluster.objects["HorizontalPodAutoscaler", name]


def only_these_may_ask(cluster: Cluster) -> None:
    """The policy is for the pods, for both ports, and lets nothing out; the budget is for the same pods."""
    labels = cluster.objects["Deployment", "sconce"]["spec"]["template"]["metadata"]["labels"].items()
    policy = cluster.objects["NetworkPolicy", "sconce"]["spec"]
    budget = cluster.objects["PodDisruptionBudget", "sconce"]["spec"]
    for selector in (policy["podSelector"], budget["selector"]):
        require(selector["matchLabels"].items() <= labels, f"{selector} selects other pods")
    require(set(policy["policyTypes"]) == {"Ingress", "Egress"}, f"policyTypes: {policy['policyTypes']}")
    require(policy["egress"] == [], "the server asks nobody")
    ports = [{port["port"] for port in entry["ports"]} for entry in policy["ingress"]]
    named = {port["name"] for port in cluster.pods["sconce"][0].described["ports"]}
    require(ports == [named, {"http"}], f"callers may use {ports}, the container has {named}")


def time_to_end(cluster: Cluster, stage: Stage) -> None:
    """The grace time holds what an end takes."""
    settings = (stage.root / "deploy/kubernetes/sconce.toml").read_text(encoding="utf-8")
    drain = re.search(r"^drain_timeout_seconds = (\d+)$", settings, re.MULTILINE)
    if drain is None:
        raise Refusal("sconce.toml does not say how long draining may take")
    spec = cluster.objects["Deployment", "sconce"]["spec"]["template"]["spec"]
    hook = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = hook + int(drain[1]) + 5
    grace = spec["terminationGracePeriodSeconds"]
    require(grace >= needed, f"terminationGracePeriodSeconds is {grace}, an end may take {needed}")


def both_ports_speak_grpc(cluster: Cluster) -> None:
    """HTTP/2 begins at once, without TLS or an upgrade."""
    for port in ("http", "grpc"):
        with cluster.connect("sconce", port) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            frame = connection.recv(9, socket.MSG_WAITALL)
        require(frame[3:4] == b"\4", f"the port {port} answers HTTP/2 with {frame!r}, expected its settings")


class ByService(http.client.HTTPConnection):
    """A connection that a node sends to one of the pods that it takes for ready."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__("sconce.sconce.svc", timeout=30)
        self._cluster = cluster

    def connect(self) -> None:
        """Opens it."""
        self.sock = self._cluster.connect("sconce", "http")


@dataclass
class Load:
    """Callers that ask one question after the other until they are told to stop."""

    cluster: Cluster
    body: bytes
    counts: Counter[str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, callers: int) -> None:
        """Every second caller keeps its connection, the others open one for each request."""
        for number in range(callers):
            thread = threading.Thread(target=self._ask_on, args=(number % 2 == 0,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> Counter[str]:
        """How often each thing happened."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.counts

    def start_grpc(self) -> None:
        """A caller that speaks gRPC, on a connection for each call."""
        self.cluster.fronts.open("sconce.sconce.svc", 9000, lambda: self.cluster.connect("sconce", "grpc"))
        self._threads.append(threading.Thread(target=self._call_on, daemon=True))
        self._threads[-1].start()

    def _call_on(self) -> None:
        words = ["-plaintext", "-d", '{"name": "sentiment"}', "sconce.sconce.svc:9000"]
        call = Call([*words, "inference.GRPCInferenceService/ModelReady"], Path())
        while not self._stop.is_set():
            try:
                answer = grpcurl(self.cluster.fronts, call)
                self.counts["gRPC" if json.loads(answer) == {"ready": True} else answer] += 1
            except Refusal as refusal:
                self.counts[f"lost: {refusal}"] += 1

    def _ask_on(self, keeps: bool) -> None:
        connection = ByService(self.cluster)
        while not self._stop.is_set():
            self.counts[self._ask(connection)] += 1
            if not keeps:
                connection.close()
        connection.close()

    def _ask(self, connection: ByService) -> str:
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/text/classify", self.body, headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException, Refusal) as error:
            connection.close()
            return f"lost: {error!r}"
        return str(response.status)


def a_deep_queue_asks_for_pods(operator: Operator) -> None:
    """With rows waiting the metric rises, and the autoscaler asks for more pods than there are."""
    before = operator.wanted("sconce")
    load = Load(operator.cluster, json.dumps({"input": [LONG_TEXT] * 200, "model": "intents"}).encode())
    load.start(8)
    deadline, most, rows = time.monotonic() + 20, before, 0.0
    while most <= before and time.monotonic() < deadline:
        rows, most = sum(operator.queues("sconce")), operator.wanted("sconce")
    load.stop()
    print(f"   {rows:.0f} rows wait in 2 pods: the autoscaler asks for {most} instead of {before}", flush=True)
    require(before == 2, f"an idle deployment asks for {before} pods")
    require(most > before, f"a deep queue asks for {most} pods")


def no_request_is_lost(cluster: Cluster) -> None:
    """A rolling update under load: the kubelet takes pods away while callers ask."""
    load = Load(cluster, json.dumps({"input": "a gripping film with a wonderful cast"}).encode())
    load.start(CLIENTS)
    load.start_grpc()
    before = set(map(id, cluster.pods["sconce"]))
    cluster.roll("sconce")
    cluster.wait("sconce")
    counts = load.stop()
    require(not before & set(map(id, cluster.pods["sconce"])), "every pod is another than before")
    print(f"   answered during a rolling update: {counts['200']} requests, {counts['gRPC']} gRPC calls", flush=True)
    require(set(counts) == {"200", "gRPC"}, f"requests were lost or refused: {dict(counts)}")
    require(counts["200"] > 500 and counts["gRPC"] > 10, f"only {dict(counts)} were made")
