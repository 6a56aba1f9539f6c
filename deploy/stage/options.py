"""A command's words taken apart as strictly as the platform's own program does it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .refusal import Refusal, require


@dataclass
class Grammar:
    """What a command takes."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    positional: int = 0


@dataclass
class Parsed:
    """What a command was given."""

    values: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    positional: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def get(self, name: str, default: str = "") -> str:
        """A value that may be missing."""
        return self.values.get(name, default)


def parse(words: list[str], grammar: Grammar) -> Parsed:
    """Takes `--name value`, `--name=value`, flags and positional words; refuses what is not known or missing."""
    parsed = Parsed()
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("-") or word == "-":
            parsed.positional.append(word)
        elif word in grammar.flags:
            parsed.flags.add(word)
        elif name in grammar.required + grammar.optional:
            require(name not in parsed.values, f"{name} is given twice")
            try:
                parsed.values[name] = value if equals else next(rest)
            except StopIteration:
                raise Refusal(f"{name}: expected a value") from None
        else:
            raise Refusal(f"unknown option {word}")
    missing = [name for name in grammar.required if name not in parsed.values]
    require(not missing, f"missing: {', '.join(missing)}")
    count = len(parsed.positional)
    require(count == grammar.positional, f"{count} words {parsed.positional}, expected {grammar.positional}")
    return parsed
