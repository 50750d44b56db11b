"""Records of a run folder kept within their size, so that one worker cannot make it unreadable.

All of it comes after redaction. Source: bundle format 6.5.
"""

from typing import Any

import msgspec

from mnedge.model.body import BlobRef, Gathered, cleaned, filled
from mnedge.model.failure import (
    CODE_CHARS,
    DESC_CHARS,
    ENVELOPE_BYTES,
    REMEDIATION_CHARS,
    bounded,
)

RECORD_BYTES = 64 * 1024
PREVIEW_CHARS = 4096
SHOWN_ITEMS = 1000
"""Of a list that an aggregator gathered, a record shows this many before it is bounded."""
_PREVIEW_LESS = 128
_KEPT_CHARS = 512
_ENVELOPE_CHARS = {"code": CODE_CHARS, "desc": DESC_CHARS, "remediation": REMEDIATION_CHARS}
_ENVELOPE_NAMES = (
    "version",
    "schema_version",
    "severity",
    "occurred_at",
    "event_id",
    "trace_id",
    "span_id",
    *_ENVELOPE_CHARS,
)
_SHRUNK = ("payload", "details", "message", "error")
_KEPT = (
    "version",
    "schema_version",
    "type",
    "ts",
    "timestamp",
    "run_id",
    "blueprint_id",
    "job_id",
    "event_id",
    "seq",
)


def _as_json(value: Any) -> Any:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, BlobRef | Gathered):
        return filled(value, {}, most_items=SHOWN_ITEMS)
    return cleaned(value)


_encoder = msgspec.json.Encoder(order="sorted", enc_hook=_as_json)


def encode(record: Any) -> bytes:
    """Return compact JSON with sorted keys, whatever the record holds."""
    try:
        return _encoder.encode(record)
    except (UnicodeEncodeError, RecursionError, ValueError, TypeError):
        return _encoder.encode(cleaned(record))


def bounded_text(text: str, limit: int) -> str | dict[str, Any]:
    """Return the text, or an object with its length and beginning if it is longer than `limit`."""
    if len(text) <= limit:
        return text
    start = text[: max(limit - _PREVIEW_LESS, 0)]
    return {"truncated": True, "chars": len(text), "preview": " ".join(start.split())}


def bounded_envelope(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return an `mn.error.v1` envelope within its limits; its links are kept."""
    short = dict(envelope)
    for name, limit in _ENVELOPE_CHARS.items():
        if isinstance(short.get(name), str):
            short[name] = short[name][:limit]
    details = short.get("details")
    short["details"] = bounded(cleaned(details)) if isinstance(details, dict) else {}
    if len(encode(short)) <= ENVELOPE_BYTES:
        return short
    short["details"] = {"message": short["details"].get("message", ""), "truncated": True}
    if len(encode(short)) <= ENVELOPE_BYTES:
        return short
    scalars = {name: short[name] for name in _ENVELOPE_NAMES if isinstance(short.get(name), str)}
    links = short.get("links")
    return {
        **{name: value[:REMEDIATION_CHARS] for name, value in scalars.items()},
        "details": short["details"],
        "links": bounded(links[:10]) if isinstance(links, list) else [],
    }


def bounded_line(record: dict[str, Any]) -> bytes:
    """Return the record as JSON without a newline, never longer than `RECORD_BYTES`."""
    line = encode(record)
    if len(line) <= RECORD_BYTES:
        return line
    shrunk = dict(record)
    for name in _SHRUNK:
        if name not in shrunk:
            continue
        shrunk[name] = _within_a_quarter(shrunk[name])
        line = encode(shrunk)
        if len(line) <= RECORD_BYTES:
            return line
    return _preview(shrunk)


def _within_a_quarter(value: Any) -> Any:
    quarter = RECORD_BYTES // 4
    if isinstance(value, dict):
        if len(encode(value)) <= quarter:
            return value
        short = bounded(cleaned(value))
        if len(encode(short)) <= quarter:
            return short
    text = value if isinstance(value, str) else encode(value).decode()
    return bounded_text(text, quarter)


def _preview(shrunk: dict[str, Any]) -> bytes:
    """Return what must stay of a record that nothing else could make small."""
    kept: dict[str, Any] = {}
    for name in _KEPT:
        value = shrunk.get(name)
        if isinstance(value, str):
            kept[name] = value[:_KEPT_CHARS]
        elif isinstance(value, int | float):
            kept[name] = value
    if "error" in shrunk and len(encode(shrunk["error"])) <= ENVELOPE_BYTES:
        kept["error"] = shrunk["error"]
    preview = encode(shrunk)[:PREVIEW_CHARS].decode(errors="ignore")
    return encode({**kept, "truncated": True, "preview": preview})
