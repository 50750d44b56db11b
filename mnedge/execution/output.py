"""What a worker's stdout says: structured output, protocol lines, an SDK step result. Pure.

Nothing here raises for what a worker may print: what is not understood is text, or left out.
Source: worker contract 2.7, 2.8, 3.9.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from typing import Any

import msgspec

from mnedge.model.body import LEVELS, cleaned
from mnedge.model.facts import Completion, Emission, NamedEvent, Structured

TRIGGERS = (
    "next_state",
    "events",
    "emit_messages",
    "complete_step",
    "complete_run",
    "complete_job",
    "complete_job?",
)
LINE_BYTES = 1 << 16
TEXT_CHARS = 2048

_HUGE_INTEGER = re.compile(rb"\d{19}")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """How a stdout was understood."""

    structured: Structured | None = None
    sdk_result: dict[str, Any] | None = None


NOTHING_SAID = Said()


def said(stdout: str) -> Said:
    """Return what the whole of stdout says, if it is one JSON object."""
    text = stdout.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return NOTHING_SAID
    value = decoded(text)
    return understood(value) if isinstance(value, dict) else NOTHING_SAID


def understood(value: dict[str, Any]) -> Said:
    """Return how a worker's JSON object is understood."""
    return Said(
        structured=structured(value) if any(key in value for key in TRIGGERS) else None,
        sdk_result=value if is_sdk_result(value) else None,
    )


def decoded(text: str | bytes) -> Any:
    """Return the value of a JSON text, cleaned so that it can be carried onward; None if none."""
    try:
        content = text if isinstance(text, bytes) else text.encode()
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    may_be_deep = content.count(b"{") + content.count(b"[") > LEVELS
    return cleaned(value) if may_be_deep or _HUGE_INTEGER.search(content) else value


def structured(value: dict[str, Any]) -> Structured:
    """Return what a JSON object with a trigger key asks for."""
    return Structured(
        has_next_state="next_state" in value,
        next_state=value.get("next_state"),
        events=_each(value.get("events"), named_event),
        completions=_completions(value),
        emissions=_each(value.get("emit_messages"), emission),
    )


def is_sdk_result(value: dict[str, Any]) -> bool:
    """Tell whether it is the result of an SDK step."""
    return (
        isinstance(value.get("outputs"), dict)
        and isinstance(value.get("artifacts"), list)
        and isinstance(value.get("metrics"), dict)
        and isinstance(value.get("status"), str)
    )


def named_event(item: Any) -> NamedEvent | None:
    """Return an event that a worker names; None for another shape."""
    match item:
        case {"type": str(name), "payload": dict(payload)} if name:
            return NamedEvent(type=name, payload=payload)
        case _:
            return None


def emission(item: Any) -> Emission | None:
    """Return a message that a worker emits; None without a type. Null stands for "as received"."""
    if not isinstance(item, dict) or not isinstance(item.get("type"), str) or not item["type"]:
        return None
    content_type = _text(item, "content_type")
    try:
        body = _body(item, content_type)
    except (Base64Error, ValueError):
        return None
    headers, artifacts, stream = item.get("headers"), item.get("artifacts"), item.get("stream")
    return Emission(
        type=item["type"],
        to=_text(item, "to"),
        body=body,
        class_=_text(item, "class"),
        correlation_id=_text(item, "correlation_id"),
        causation_id=_text(item, "causation_id"),
        content_type=content_type,
        content_encoding=_text(item, "content_encoding"),
        headers=headers if isinstance(headers, dict) else None,
        artifacts=artifacts if isinstance(artifacts, list) else None,
        stream=stream if isinstance(stream, dict) else None,
    )


def protocol_line(rest: bytes) -> dict[str, Any] | str:
    """Return what follows the prefix of a protocol line: a JSON object, else text.

    It becomes a note, so what is too long for one is cut, and is text then.
    """
    if len(rest) > LINE_BYTES:
        return rest[:TEXT_CHARS].decode(errors="replace").strip()
    text = rest.decode(errors="replace").strip()
    value = decoded(text) if text.startswith("{") else None
    return value if isinstance(value, dict) else text


def activity(said_on_line: dict[str, Any] | str) -> NamedEvent:
    """Return the event that an event line stands for."""
    if isinstance(said_on_line, str):
        told = {"message": said_on_line, "category": "agent"}
        return NamedEvent(type="agent_activity", payload=told)
    name, payload = said_on_line.get("type"), said_on_line.get("payload")
    named = isinstance(name, str) and bool(name)
    return NamedEvent(
        type=str(name) if named else "agent_activity",
        payload=payload if named and isinstance(payload, dict) else said_on_line,
    )


def hidden(text: str, secrets: tuple[str, ...]) -> str:
    """Return the text with every secret replaced; the longest comes first."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, "[REDACTED]")
    return text


def _completions(value: dict[str, Any]) -> list[Completion]:
    """Step first; a run is completed once, by the newest word for it."""
    found = [
        asked
        for asked in (
            _completion("step", value.get("complete_step")),
            _completion("run", value.get("complete_run")),
        )
        if asked is not None
    ]
    if not any(completion.scope == "run" for completion in found):
        if value.get("complete_job") is not None:
            found.append(Completion(scope="run", value=value["complete_job"]))
        elif value.get("complete_job?"):
            found.append(Completion(scope="run", default=True))
    return found


def _completion(scope: str, asked: Any) -> Completion | None:
    if asked is None or asked is False:
        return None
    if asked is True:
        return Completion(scope=scope, default=True)
    return Completion(scope=scope, value=asked)


def _each(items: Any, read: Any) -> list[Any]:
    if not isinstance(items, list):
        return []
    return [found for item in items if (found := read(item)) is not None]


def _text(item: dict[str, Any], key: str) -> str | None:
    value = item.get(key)
    return value if isinstance(value, str) and value else None


def _body(item: dict[str, Any], content_type: str | None) -> Any:
    if isinstance(item.get("body_base64"), str):
        content = b64decode(item["body_base64"], validate=True)
        if content_type == "application/octet-stream":
            return content
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content
    for key in ("body", "payload"):
        if key in item:
            return item[key]
    return {}
