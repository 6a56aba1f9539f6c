"""A pod with one container, as the kubelet keeps it: probes, readiness, and an end that tells the endpoints first."""

from __future__ import annotations

import random
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .ask import Question, ask
from .container import FOREIGN_USER, Container, Engine, Mount, Wanted
from .manifests import Manifest, folder_of
from .refusal import Refusal, require

# Between the start of a pod's end and the moment when the last node no longer sends to it.
ENDPOINTS_LAG_SECONDS = (0.3, 3.0)


@dataclass
class Surroundings:
    """What a pod gets besides its specification."""

    configurations: dict[str, dict[str, str]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)


class Pod:
    """A pod that runs until it is deleted."""

    def __init__(self, engine: Engine, spec: Manifest, surroundings: Surroundings | None = None) -> None:
        self.spec = spec
        self.described = spec["containers"][0]
        self.container: Container = engine.start(_wanted(spec, surroundings or Surroundings()))
        self.ready = False
        self.terminating = False
        self.failures: list[str] = []
        self._ended = threading.Event()
        self.kubelet = threading.Thread(target=self._keep, daemon=True)
        self.kubelet.start()

    def port(self, name_or_number: str | int) -> int:
        """A port of the container by its name."""
        if isinstance(name_or_number, int):
            return name_or_number
        found = [port["containerPort"] for port in self.described["ports"] if port.get("name") == name_or_number]
        require(found, f"the container has no port {name_or_number}")
        return int(found[0])

    def await_ready(self, seconds: float) -> float:
        """Waits until it is ready; returns how long that took."""
        begun = time.monotonic()
        while not self.ready:
            self.check()
            require(time.monotonic() - begun < seconds, f"not ready within {seconds} s\n{self.container.log()}")
            time.sleep(0.01)
        return time.monotonic() - begun

    def check(self) -> None:
        """Refuses when it was restarted or killed."""
        require(not self.failures, "; ".join(self.failures))

    def delete(self) -> None:
        """Ends it: the endpoints learn of it while preStop runs, then comes SIGTERM, and at last SIGKILL."""
        begun = time.monotonic()
        grace = float(self.spec.get("terminationGracePeriodSeconds", 30))
        self.terminating = True
        hook = self.described.get("lifecycle", {}).get("preStop", {})
        lag = threading.Timer(random.uniform(*ENDPOINTS_LAG_SECONDS), self._leave_endpoints)
        lag.start()
        if hook:
            require(set(hook) == {"sleep"}, "an image without a shell can only sleep before it is stopped")
            time.sleep(hook["sleep"]["seconds"])
        self.container.signal(signal.SIGTERM)
        code = self.container.wait(grace - (time.monotonic() - begun))
        self._ended.set()
        lag.join()
        if code is None:
            self.container.signal(signal.SIGKILL)
            self.failures.append(f"killed: it did not end within its grace of {grace} s")
        elif code != 0:
            self.failures.append(f"it ended with code {code}\n{self.container.log()}")

    def _leave_endpoints(self) -> None:
        self.ready = False

    def _keep(self) -> None:
        """The kubelet's loop."""
        try:
            if startup := self.described.get("startupProbe"):
                self._await_startup(startup)
            probes = [self.described.get(f"{kind}Probe") for kind in ("readiness", "liveness")]
            self._probe_on(*probes)
        except Refusal as refusal:
            self.failures.append(str(refusal))

    def _await_startup(self, probe: Manifest) -> None:
        for _ in range(probe.get("failureThreshold", 3)):
            if self._probed(probe):
                return
            self._ended.wait(probe.get("periodSeconds", 10))
        raise Refusal(f"startup probe failed; the container would be restarted\n{self.container.log()}")

    def _probe_on(self, readiness: Manifest | None, liveness: Manifest | None) -> None:
        due = {"readiness": 0.0, "liveness": 0.0}
        failed = {"readiness": 0, "liveness": 0}
        while not self._ended.wait(0.05):
            for kind, probe in (("readiness", readiness), ("liveness", liveness)):
                if time.monotonic() < due[kind]:
                    continue
                due[kind] = time.monotonic() + (probe or {}).get("periodSeconds", 10)
                well = probe is None or self._probed(probe)
                failed[kind] = 0 if well else failed[kind] + 1
                over = failed[kind] >= (probe or {}).get("failureThreshold", 3)
                if kind == "readiness" and not self.terminating:
                    self.ready = well or (self.ready and not over)
                if kind == "liveness" and over and not self.terminating:
                    raise Refusal("liveness probe failed; the container would be restarted")

    def _probed(self, probe: Manifest) -> bool:
        action = probe["httpGet"]
        try:
            port = self.port(action["port"])
            answer = ask(self.container, port, Question(action["path"]), probe.get("timeoutSeconds", 1))
        except Refusal:
            return False
        return 200 <= answer.status < 400


def _wanted(spec: Manifest, surroundings: Surroundings) -> Wanted:
    described = spec["containers"][0]
    environment = {variable["name"]: str(variable["value"]) for variable in described.get("env", [])}
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    mounts = []
    for mount in described.get("volumeMounts", []):
        require(mount["name"] in volumes, f"there is no volume {mount['name']}")
        source = _folder(volumes[mount["name"]], surroundings)
        mounts.append(Mount(source, mount["mountPath"], not mount.get("readOnly", False)))
    security = spec.get("securityContext", {}) | described.get("securityContext", {})
    user = (security.get("runAsUser", FOREIGN_USER), security.get("runAsGroup", 0))
    arguments = [*described.get("command", []), *described["args"]] if "args" in described else None
    require("command" not in described, "the image's own entrypoint is used here")
    return Wanted(arguments, environment | surroundings.environment, mounts + surroundings.mounts, user)


def _folder(volume: Manifest, surroundings: Surroundings) -> Path:
    if "configMap" in volume:
        name = volume["configMap"]["name"]
        require(name in surroundings.configurations, f"there is no ConfigMap {name}")
        return folder_of(surroundings.configurations[name])
    require("emptyDir" in volume, f"volume {volume['name']} is not played here")
    folder = Path(tempfile.mkdtemp(prefix="empty-"))
    folder.chmod(0o777)
    return folder
