"""The message that travels between agents."""

from typing import Any

from msgspec import Struct


class Message(Struct, frozen=True, gc=False, array_like=True, kw_only=True):
    """One message, in the runtime's own flat shape; `wire` gives the product's normal form.

    Cycles are impossible (a body is a tree of JSON), hence `gc=False`.
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
    attempt: int = 1
    priority: int = 100
    ttl_ms: int | None = None
    timestamp: str | None = None
    """Given by whoever sent it from outside; else rendered from `at`."""
