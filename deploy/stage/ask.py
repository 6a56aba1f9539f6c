"""Asking a container over HTTP within the time that a platform gives it."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, field
from typing import Any

from .container import Container
from .refusal import Refusal


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class Connection(http.client.HTTPConnection):
    """A connection to a port of a container."""

    def __init__(self, container: Container, port: int, timeout: float) -> None:
        super().__init__("localhost", port, timeout=timeout)
        self._container, self._port, self._seconds = container, port, timeout

    def connect(self) -> None:
        """Opens it."""
        self.sock = self._container.connect(self._port, self._seconds)


@dataclass
class Question:
    """A request."""

    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


def ask(container: Container, port: int, question: Question, seconds: float) -> Answer:
    """The answer to a question, which has to come in time."""
    connection = Connection(container, port, seconds)
    begun = time.monotonic()
    try:
        connection.request(question.method, question.path, question.body, question.headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        taken = time.monotonic() - begun
        raise Refusal(f"{question.method} {question.path}: {error!r} after {taken:.3f} s\n{container.log()}") from None
    finally:
        connection.close()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body)


def await_port(container: Container, port: int, seconds: float) -> float:
    """Waits until something listens on the port; returns how long that took."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        try:
            container.connect(port, seconds).close()
            return time.monotonic() - begun
        except OSError:
            if (code := container.wait(0.01)) is not None:
                raise Refusal(f"the container ended with code {code}\n{container.log()}") from None
    raise Refusal(f"nothing listened on port {port} within {seconds} s\n{container.log()}")


def await_status(container: Container, port: int, path: str, seconds: float) -> float:
    """Waits until a path answers 200; returns how long that took."""
    begun = time.monotonic()
    await_port(container, port, seconds)
    answer = Answer(0)
    while time.monotonic() - begun < seconds:
        answer = ask(container, port, Question(path), 2.0)
        if answer.status == 200:
            return time.monotonic() - begun
        time.sleep(0.02)
    raise Refusal(f"{path} answered {answer.status} for {seconds} s\n{answer.text()}\n{container.log()}")
