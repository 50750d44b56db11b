"""How many tokens an answer came to: what the upstream says, else an estimate that is marked so."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

BYTES_PER_TOKEN = 4
"""A rule of thumb for English text, for upstreams that do not count."""


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one request and its answer."""

    prompt: int = 0
    completion: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        """All together."""
        return self.prompt + self.completion


def told(answer: Any) -> Usage | None:
    """Return what an answer, or a piece of a stream, says of its usage."""
    said = answer.get("usage") if isinstance(answer, Mapping) else None
    if not isinstance(said, Mapping):
        return None
    prompt, completion = said.get("prompt_tokens"), said.get("completion_tokens")
    if not isinstance(prompt, int):
        return None
    return Usage(prompt=prompt, completion=completion if isinstance(completion, int) else 0)


def estimated(request_bytes: int, answer_bytes: int) -> Usage:
    """Return a guess from sizes."""
    return Usage(
        prompt=-(-request_bytes // BYTES_PER_TOKEN),
        completion=-(-answer_bytes // BYTES_PER_TOKEN),
        estimated=True,
    )


def text_bytes(value: Any) -> int:
    """Return the size of all texts inside a JSON value."""
    match value:
        case str():
            return len(value.encode(errors="replace"))
        case Mapping():
            return sum(text_bytes(member) for member in value.values())
        case list():
            return sum(text_bytes(member) for member in value)
        case _:
            return 0
