"""`docker build` and `docker push`, and what platforms may pull afterwards."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .options import Grammar, parse
from .programs import Call
from .refusal import Refusal, require

REFERENCE = re.compile(r"(?:[a-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9._/-]+(?::[A-Za-z0-9_.-]+)?")


@dataclass
class ImageRegistry:
    """The images of one README."""

    host: str
    built: set[str] = field(default_factory=set)
    pushed: set[str] = field(default_factory=set)

    def docker(self, call: Call) -> str:
        """The part of Docker's program that READMEs use."""
        match call.words:
            case ["build", *words]:
                parsed = parse(words, Grammar(required=("--tag",), positional=1))
                call.file(f"{parsed.positional[0]}/Dockerfile")
                require(REFERENCE.fullmatch(parsed["--tag"]), f"invalid reference format: {parsed['--tag']}")
                self.built.add(parsed["--tag"])
                return ""
            case ["push", name]:
                require(name in self.built, f"An image does not exist locally with the tag: {name}")
                require(name.startswith(self.host + "/"), f"{name}: not a repository of {self.host}")
                self.pushed.add(name)
                return f"The push refers to repository [{name.rsplit(':', 1)[0]}]\n{name.rsplit(':', 1)[1]}: pushed\n"
        raise Refusal(f"unknown command: docker {' '.join(call.words)}")

    def pull(self, name: str) -> None:
        """Refuses unless the image was pushed."""
        require(name in self.pushed, f"the image {name} cannot be pulled; there are {sorted(self.pushed)}")
