"""Which failures of a run go away by themselves, and how long to wait for that. Pure.

Source: worker contract 3.10.
"""

from typing import Any

import msgspec

TRANSIENT = (
    "h2 protocol error",
    "peer closed connection",
    "status: unknown",
    "error reading a body from connection",
    "tls close_notify",
    "transport error",
    "connection reset",
    "connection refused",
    "timed out",
    "deadline exceeded",
    "unavailable",
    "agent beacon deadline exceeded",
    "artifact_not_ready",
)


NAMES = ("sandbox_name", "remote_dir", "runner", "node_name")
"""Members that only say where something ran: a job may be called `service_unavailable_demo`."""


def is_transient(error: dict[str, Any]) -> bool:
    """Tell whether the error's text, the worker's own output included, names such a failure."""
    said = {key: value for key, value in error.items() if key not in NAMES}
    texts = {value for value in said.values() if isinstance(value, str)}
    rest = {key: value for key, value in said.items() if not isinstance(value, str)}
    texts.add(msgspec.json.encode(rest, enc_hook=repr).decode())
    lowered = [text.lower() for text in texts]
    return any(marker in text for marker in TRANSIENT for text in lowered)


def backoff_s(base_ms: int, attempt: int) -> float:
    """Return how long to wait after the `attempt`th run, counted from 1."""
    return base_ms * 2.0 ** min(attempt - 1, 30) / 1000
