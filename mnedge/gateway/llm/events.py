"""Server-sent events of an upstream, taken apart without losing a byte. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

DONE = b"[DONE]"
MOST_EVENT_BYTES = 4 << 20


class EventTooLargeError(ValueError):
    """One event of a stream is larger than anybody would send."""


class Splitter:
    """Takes bytes as they come, gives whole events, as they were."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the events that are whole now, each with the empty line behind it.

        Raises: EventTooLargeError.
        """
        self._rest += piece
        while True:
            ends = [
                at + len(end) for end in (b"\n\n", b"\r\n\r\n") if (at := self._rest.find(end)) >= 0
            ]
            if not ends:
                break
            event, self._rest = self._rest[: min(ends)], self._rest[min(ends) :]
            yield event
        if len(self._rest) > MOST_EVENT_BYTES:
            raise EventTooLargeError

    @property
    def rest(self) -> bytes:
        """What is left of an event whose end has not come."""
        return self._rest


def content(event: bytes) -> bytes:
    """Return the data of an event."""
    lines = (line.removeprefix(b"data:").strip() for line in event.splitlines() if _is_data(line))
    return b"\n".join(lines)


def as_json(data: bytes) -> Mapping[str, Any]:
    """Return the data as an object, empty if it is none."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_usage_alone(said: Mapping[str, Any]) -> bool:
    """Tell whether a piece only says what the answer came to."""
    return said.get("choices") == [] and isinstance(said.get("usage"), Mapping)


def event_of(value: Any) -> bytes:
    """Return a JSON value as an event."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _is_data(line: bytes) -> bool:
    return line.startswith(b"data:")
