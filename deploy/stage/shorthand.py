"""The AWS program's shorthand for structures: `A=1,B={C=x,D=[1,2]}`; JSON is taken as well."""

from __future__ import annotations

import json
from typing import Any

from .refusal import Refusal, require


def structure(text: str) -> dict[str, Any]:
    """A structure's members."""
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise Refusal(f"Invalid JSON: {error}: {text}") from None
    reader = _Reader(text)
    members = reader.members("")
    require(reader.rest() == "", f"Error parsing parameter: {text!r} at {reader.rest()!r}")
    return members


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def rest(self) -> str:
        return self._text[self._at :]

    def _take(self, expected: str) -> bool:
        found = bool(expected) and self.rest().startswith(expected)
        self._at += len(expected) if found else 0
        return found

    def members(self, end: str) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while True:
            name = self._until("=,]}")
            require(name and self._take("="), f"Error parsing parameter: expected NAME=VALUE in {self._text!r}")
            members[name] = self._value()
            if not self._take(","):
                require(self._take(end) or not end, f"Error parsing parameter: expected {end} in {self._text!r}")
                return members

    def _value(self) -> Any:
        if self._take("{"):
            return self.members("}")
        if self._take("["):
            values = [self._value()]
            while self._take(","):
                values.append(self._value())
            require(self._take("]"), f"Error parsing parameter: expected ] in {self._text!r}")
            return values
        return self._until(",]}")

    def _until(self, ends: str) -> str:
        begun = self._at
        while self._at < len(self._text) and self._text[self._at] not in ends:
            self._at += 1
        return self._text[begun : self._at]


def check_members(found: dict[str, Any], required: set[str], optional: set[str]) -> None:
    """Refuses members that are missing or not known."""
    missing, unknown = required - set(found), set(found) - required - optional
    require(not missing, f"Parameter validation failed: missing {', '.join(sorted(missing))}")
    require(not unknown, f"Parameter validation failed: unknown {', '.join(sorted(unknown))}")
