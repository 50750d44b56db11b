"""The message that travels between agents, and the forms in which the outside sees it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from mnedge.errors import UsageError
from mnedge.model.body import cleaned, json_bytes, weight_of
from mnedge.model.ids import derived_id

SPEC_VERSION = "mn-msg/1"
MESSAGE_WEIGHT_BYTES = 300
"""What a message takes in a state beside its body and headers."""

_RESERVED = frozenset(
    {
        "message_id", "job_id", "from", "to", "type", "class", "timestamp", "correlation_id",
        "causation_id", "attempt", "priority", "ttl_ms", "content_type", "content_encoding",
        "headers", "artifacts", "stream", "payload", "body", "envelope",
    }
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999
"""The end of the year 9999: no calendar text exists beyond."""


def is_body_alone(seed: object) -> bool:
    """Tell whether what somebody sends is nothing but a body: no envelope, none of its words."""
    return not isinstance(seed, dict) or _RESERVED.isdisjoint(seed)


class Message(Struct, frozen=True, gc=False, array_like=True):
    """One message, in the runtime's own flat shape; `wire` gives the product's normal form.

    Its trees (`body`, `headers`, `artifacts`, `stream`) are shared with other messages and never
    changed, hence `gc=False`.
    """

    message_id: str
    type: str
    to: str
    sender: str
    class_: str
    correlation_id: str
    at: float
    """Job time at which it came to be."""
    body: Any = None
    headers: dict[str, Any] = {}
    artifacts: list[Any] = []
    stream: dict[str, Any] | None = None
    causation_id: str | None = None
    content_type: str = "application/json"
    content_encoding: str = "identity"
    hops: int = 0
    """Deliveries between it and the fact that started its chain."""
    weight_bytes: int = 0
    """About what it takes in a state."""
    attempt: int = 1
    priority: int = 100
    ttl_ms: int | None = None
    timestamp: str | None = None
    """Given by whoever sent it from outside; else rendered from `at`."""


class MessageInvalidError(UsageError):
    """What was sent is no message: it has to be a JSON object, in envelope form or flat."""

    code = "message.invalid"


def normalise(
    value: Any,
    *,
    at: float,
    seed: str,
    sender: str = "runtime",
    to: str = "",
    type: str = "command",  # noqa: A002
    class_: str = "event",
) -> Message:
    """Return the message an envelope or flat object stands for; arguments fill what is absent.

    Absent ids follow from `seed`: the same seed gives the same ids. Null counts as absent.
    Raises: MessageInvalidError if `value` is no object.
    Source: worker contract 1.1, 1.2.
    """
    if not isinstance(value, Mapping):
        raise MessageInvalidError(
            "message must be a map",
            hint='send an object: {"envelope": {…}, "body": …}, or just the members of the body',
            details={"got": type_name(value)},
        )
    tree = cleaned(value)
    if _RESERVED.isdisjoint(tree):  # a flat body with nothing else: what most seeds are
        return Message(
            derived_id(seed, size_bytes=10),
            type,
            to,
            sender,
            class_,
            derived_id(f"{seed}:correlation", size_bytes=10),
            at,
            tree,
            weight_bytes=_BARE_WEIGHT_BYTES + weight_of(tree),
        )
    envelope = tree.get("envelope")
    flat = "envelope" not in tree
    fields = tree if flat else envelope if isinstance(envelope, dict) else {}
    headers, artifacts, stream = tree.get("headers"), tree.get("artifacts"), tree.get("stream")
    body = _flat_body(tree) if flat else tree.get("body")
    headers = headers if isinstance(headers, dict) else {}
    artifacts = artifacts if isinstance(artifacts, list) else []
    stream = stream if isinstance(stream, dict) else None
    return Message(
        message_id=_text(fields, "message_id") or derived_id(seed, size_bytes=10),
        type=_text(fields, "type") or type,
        to=_text(fields, "to") or to,
        sender=_text(fields, "from") or sender,
        class_=_text(fields, "class") or class_,
        correlation_id=_text(fields, "correlation_id")
        or derived_id(f"{seed}:correlation", size_bytes=10),
        at=at,
        body=body,
        headers=headers,
        artifacts=artifacts,
        stream=stream,
        causation_id=_text(fields, "causation_id") or None,
        content_type=_text(fields, "content_type") or "application/json",
        content_encoding=_text(fields, "content_encoding") or "identity",
        weight_bytes=weight(body, headers, artifacts, stream),
        attempt=_number(fields, "attempt") or 1,
        priority=_whole(fields.get("priority"), 100),
        ttl_ms=_number(fields, "ttl_ms"),
        timestamp=_text(fields, "timestamp") or None,
    )


def type_name(value: Any) -> str:
    """Return what JSON calls the kind of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "list"
        case _:
            return "object"


def _flat_body(tree: dict[str, Any]) -> Any:
    for key in ("body", "payload"):
        if key in tree:
            return tree[key]
    return {key: item for key, item in tree.items() if key not in _RESERVED}


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if value is None or isinstance(value, str):
        return value or ""
    return json_bytes(value).decode()


def _number(fields: dict[str, Any], key: str) -> int | None:
    number = _whole(fields.get(key), 0)
    return number if number > 0 else None


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def weight(body: Any, headers: Any, artifacts: Any, stream: Any) -> int:
    """Return about what a message with these trees takes in a state."""
    beside = weight_of(headers) + weight_of(artifacts) + weight_of(stream)
    return MESSAGE_WEIGHT_BYTES + weight_of(body) + beside


_BARE_WEIGHT_BYTES = weight(None, {}, [], None) - weight_of(None)


def output_id(parent_id: str, sender: str, target: str, key: str) -> str:
    """Return the id of the message that `sender` makes while handling the parent.

    `key` is `<action index>:<edge_id>` along an edge, `<action index>` straight to an agent.
    Source: worker contract 1.5.
    """
    return derived_id(f"{parent_id}:{sender}:{target}:{key}")


def iso_ms(at: float) -> str:
    """Return the moment as UTC ISO-8601 with milliseconds and a final `Z`.

    Units: seconds since 1970; what no calendar holds is moved to its end.
    """
    ms = min(max(int(at * 1000 + 0.5), 0), _LAST_MS)
    moment = _EPOCH + timedelta(milliseconds=ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def iso_ms_or_none(at: float | None) -> str | None:
    """Return the moment as `iso_ms` has it; None for none."""
    return None if at is None else iso_ms(at)


def envelope_of(message: Message, job_id: str) -> dict[str, Any]:
    """Return the `envelope` member: the fixed vocabulary, absent members left out."""
    members = {
        "spec_version": SPEC_VERSION,
        "message_id": message.message_id,
        "job_id": job_id or None,
        "from": message.sender,
        "to": message.to or None,
        "type": message.type,
        "class": message.class_,
        "timestamp": message.timestamp or iso_ms(message.at),
        "correlation_id": message.correlation_id,
        "causation_id": message.causation_id,
        "attempt": message.attempt,
        "priority": message.priority,
        "ttl_ms": message.ttl_ms,
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
    }
    return {key: value for key, value in members.items() if value is not None}


def wire(message: Message, job_id: str) -> dict[str, Any]:
    """Return the product's normal form. Its trees may hold references: `filled` replaces them."""
    return {
        "envelope": envelope_of(message, job_id),
        "headers": message.headers,
        "body": message.body,
        "artifacts": message.artifacts,
        "stream": message.stream,
    }


def summary(message: Message) -> dict[str, Any]:
    """Return what tells a reader which message this is, and which chain it belongs to."""
    return {
        "message_id": message.message_id,
        "correlation_id": message.correlation_id,
        "causation_id": message.causation_id,
        "from": message.sender,
        "to": message.to or None,
        "type": message.type,
        "class": message.class_,
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "stream": message.stream,
    }


def to_ndjson(messages: Iterable[Message], job_id: str) -> bytes:
    """Return one normal form per line; no message at all is one empty line."""
    return b"\n".join(json_bytes(wire(message, job_id)) for message in messages) + b"\n"


def from_ndjson(content: bytes, *, at: float, seed: str) -> list[Message]:
    """Return the messages of non-empty lines; ids a line lacks follow from `seed` and its place.

    Raises: MessageInvalidError naming the line.
    """
    messages = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            raise MessageInvalidError(
                f"line {number} is no JSON: {error}", hint="write one JSON object per line"
            ) from error
        messages.append(normalise(value, at=at, seed=f"{seed}:{number}"))
    return messages
