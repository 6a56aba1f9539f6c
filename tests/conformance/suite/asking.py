"""Plain HTTP by `requests`, for contracts whose public examples are curl lines and `requests` calls."""

from __future__ import annotations

from typing import Any

import requests

from .cells import Mismatch, shown


def ask(method: str, url: str, status: int = 200, **options: Any) -> requests.Response:
    """Sends a request; the answer must have this status."""
    answer = requests.request(method, url, timeout=60, **options)
    if answer.status_code != status:
        sent = f"{method} {url} {shown(options)}"
        raise Mismatch(sent, f"status {status}", f"status {answer.status_code}: {shown(answer.text)}")
    return answer


def get(url: str, status: int = 200, **options: Any) -> requests.Response:
    """A GET."""
    return ask("GET", url, status, **options)


def post(url: str, status: int = 200, **options: Any) -> requests.Response:
    """A POST."""
    return ask("POST", url, status, **options)


def has_members(sent: str, members: set[str], answer: requests.Response) -> dict[str, Any]:
    """The answer is a JSON object with at least these members."""
    got = answer.json()
    if not isinstance(got, dict) or not members <= set(got):
        raise Mismatch(sent, f"an object with {sorted(members)}", got)
    return got
