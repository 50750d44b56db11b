"""One call: what was asked, who asks, and what the node has to answer it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from mnedge.errors import UsageError
from mnedge.gateway.audit_trail import Trail, audited
from mnedge.gateway.auth import principal_of, require
from mnedge.gateway.backend import Backend
from mnedge.gateway.connection import Scope as AsgiScope
from mnedge.gateway.connection import header
from mnedge.gateway.grpc.messages import Method
from mnedge.gateway.grpc.status import NotOfferedError
from mnedge.model.access import Scope
from mnedge.runtime.submission import Origin

Values = dict[str, Any]
Tell = Callable[[Values], Awaitable[None]]
"""Sends one message of a stream; waits while the client is slow."""


class JsonFieldError(UsageError):
    """A field whose text should be JSON is not."""

    code = "grpc.json_invalid"


class Call(Struct, frozen=True):
    """One call as its handler sees it."""

    backend: Backend
    scope: AsgiScope
    request: Mapping[str, Any]
    trail: Trail | None = None
    """Where a handler names what it changed, once it knows."""

    @property
    def caller(self) -> str:
        """Who asks, as the audit record says it."""
        return principal_of(self.scope).name

    @property
    def origin(self) -> Origin:
        """Where a job that this call makes comes from."""
        ours = self.scope["state"].get("trace_parent")  # this request's own span
        theirs = (header(self.scope, b"traceparent") or b"").decode("ascii", errors="replace")
        return Origin(trace_parent=ours or theirs, submitted_by=self.caller)

    def text(self, name: str) -> str:
        """Return a text field."""
        return str(self.request[name])

    def required(self, name: str) -> str:
        """Return a text field that must hold something.

        Raises: UsageError.
        """
        value = self.text(name).strip()
        if not value:
            raise UsageError(f"{name} is empty", hint=f"say which: {name}")
        return value

    def json(self, name: str) -> dict[str, Any]:
        """Return the JSON object that a text field holds; empty text stands for `{}`.

        Raises: JsonFieldError.
        """
        return json_object(self.text(name), name)

    def changes(self, what: str) -> None:
        """Name what this call changes, for the audit record."""
        if self.trail is not None:
            self.trail.object = what


def json_object(text: str, name: str) -> dict[str, Any]:
    """Return the JSON object that a text holds; empty text stands for `{}`.

    Raises: JsonFieldError.
    """
    if not text.strip():
        return {}
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise JsonFieldError(f"{name} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise JsonFieldError(f"{name} must hold a JSON object, not {type(found).__name__}")
    return found


Unary = Callable[[Call], Awaitable[Values]]
Streaming = Callable[[Call, Tell], Awaitable[None]]


class Rpc(Struct, frozen=True, kw_only=True):
    """One method and how it is served here."""

    path: str
    method: Method
    unary: Unary | None = None
    streaming: Streaming | None = None
    scope: Scope = Scope.READ
    action: str = ""
    """What the audit record calls it; empty: it changes nothing."""
    field: str = ""
    """The field of the request that names what is changed."""
    public: bool = False
    """It carries a credential of its own."""
    absent: str = ""
    """Why it is not offered."""

    async def serve(self, backend: Backend, scope: AsgiScope, content: bytes, tell: Tell) -> None:
        """Answer a call with `tell`.

        Raises: NotAllowedError, NotOfferedError, WireError; whatever the handler raises.
        """
        if not self.public:
            principal_of(scope)
        if self.absent:
            raise NotOfferedError(self.absent)
        request = self.method.request.decode(content)
        if not self.action:
            if not self.public:
                require(scope, self.scope)
            await self._handle(Call(backend, scope, request), tell)
            return
        noun = self.action.partition(".")[0]
        named = str(request.get(self.field, "")) if self.field else ""
        async with audited(scope, self.action, f"{noun}/{named}") as trail:
            require(scope, self.scope)
            await self._handle(Call(backend, scope, request, trail), tell)

    async def _handle(self, call: Call, tell: Tell) -> None:
        if self.streaming is not None:
            await self.streaming(call, tell)
        elif self.unary is not None:
            await tell(await self.unary(call))
