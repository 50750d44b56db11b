"""The table of routes, and how a request finds its own.

A route says everything about itself: path, scope, what it takes, what it answers. From that come
dispatch, checks, the OpenAPI description and the test that every route is driven.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Generic, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mnedge.errors import NotFoundError, UsageError
from mnedge.gateway import audit_trail, auth
from mnedge.gateway.backend import Backend
from mnedge.gateway.connection import Receive, Send
from mnedge.gateway.connection import Scope as AsgiScope
from mnedge.gateway.llm.refusals import BodyTooLargeError
from mnedge.gateway.rest import idempotency
from mnedge.gateway.rest.checking import MediaTypeError, Query, body_of, query_of
from mnedge.model.access import Principal, Scope

PREFIX = "/api/v1"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
ZIP = "application/zip"
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

Q = TypeVar("Q", covariant=True)
B = TypeVar("B", covariant=True)


class RouteNotFoundError(NotFoundError):
    """The API has no such path."""

    code = "http.not_found"


class MethodNotAllowedError(UsageError):
    """The path is there, but does not take this method."""

    code = "http.method_not_allowed"
    http_status = 405

    def __init__(self, message: str, *, allowed: Sequence[str]) -> None:
        super().__init__(message, hint=f"it takes {', '.join(allowed)}")
        self.headers = {"allow": ", ".join(allowed)}


class Call(Generic[Q, B]):
    """One request, as its route gets it."""

    def __init__(
        self,
        request: Request,
        backend: Backend,
        path: Mapping[str, str],
        query: Q,
        body: B,
        trail: audit_trail.Trail | None = None,
    ) -> None:
        self.request = request
        self.backend = backend
        self.path = path
        self.query = query
        self.body = body
        self.trail = trail

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return auth.principal_of(self.request.scope)

    def concerns(self, object_: str) -> None:
        """Name what the change is about, where the path does not, or not in full."""
        if self.trail is not None:
            self.trail.object = object_


class Answer(Struct, frozen=True, kw_only=True):
    """A status a route may answer with, and what its body then is."""

    body: Any = None
    """A type; None: no body, or one that is no JSON."""
    media: tuple[str, ...] = (JSON,)
    explained: str = ""
    headers: tuple[str, ...] = ()


Work = Callable[[Call[Any, Any]], Awaitable[Response]]


class Route(Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: str
    path: str
    """Below `/api/v1`; `{name}` stands for one segment, `{name:path}` for the rest."""
    work: Work
    summary: str
    tag: str
    scope: Scope | None = Scope.READ
    """None: whoever may connect may ask."""
    query: type[Query] = Query
    body: Any = None
    """The type of a JSON body, or several of which it is one; None: it takes none."""
    raw: bool = False
    """The route reads the body itself; `body` only describes it."""
    media: tuple[str, ...] = (JSON,)
    """Types of body that it takes."""
    optional: bool = True
    """A body may be left out."""
    answers: Mapping[int, Answer] = msgspec.field(default_factory=dict)
    refuses: tuple[int, ...] = ()
    """Statuses of problems that it may answer, beside those that every route may."""
    noun: str = ""
    """How the audit record calls what it changes: `job` makes `job/<first path member>`."""
    verb: str = ""
    """What the audit record says was done; empty: nothing is changed."""
    once: bool = False
    """Takes an `Idempotency-Key`."""
    headers: tuple[tuple[str, str], ...] = ()
    """Request headers that it reads, and what for."""
    root: bool = False
    """The path stands by itself, not below `/api/v1`."""

    @property
    def full_path(self) -> str:
        """The path as the OpenAPI description has it."""
        plain = self.path.replace(":path}", "}")
        return plain if self.root else PREFIX + plain

    @property
    def name(self) -> str:
        """`GET /api/v1/jobs/{job_id}`: how tests and metrics call it."""
        return f"{self.method} {self.full_path}"


def json_reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with this value."""
    return Response(
        encoded(body), status, {"cache-control": "no-store", **(headers or {})}, media_type=JSON
    )


def encoded(body: Any) -> bytes:
    """Return a value as JSON; keys that are no text become some."""
    return msgspec.json.encode(body, enc_hook=str)


class Api:
    """The routes as an ASGI application."""

    def __init__(self, routes: Iterable[Route], backend: Backend) -> None:
        self.routes = tuple(routes)
        self._backend = backend
        self._plain: dict[str, dict[str, Route]] = {}
        self._formed: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        forms: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            path = route.path if route.root else PREFIX + route.path
            place = self._plain if "{" not in path else forms
            methods = place.setdefault(path, {})
            if route.method in methods:
                raise ValueError(f"{route.name} stands in the table twice")
            methods[route.method] = route
        for path in sorted(forms, key=_order):
            self._formed.append((_pattern(path), forms[path]))

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises: MnedgeError, which the layer around it makes a problem of.
        """
        path = str(scope["path"])
        if path == self._backend.config.trace.metrics.prometheus.path:
            path = "/metrics"
        method = str(scope["method"])
        route, members, known = self._found(scope, path, "GET" if method == "HEAD" else method)
        if route is None:
            allowed = sorted({*known, *(("HEAD",) if "GET" in known else ())})
            raise MethodNotAllowedError(f"{path} does not take {method}", allowed=allowed)
        scope.setdefault("state", {})["route"] = route.full_path
        request = Request(scope, receive, send)
        try:
            response = await answer(route, request, self._backend, members)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _found(
        self, scope: AsgiScope, path: str, method: str
    ) -> tuple[Route | None, dict[str, str], list[str]]:
        """Return the route, what its path says, and, if there is none, which methods there are."""
        methods = self._plain.get(path, {})
        if method in methods:
            return methods[method], {}, []
        known = list(methods)
        raw = scope.get("raw_path")
        text = raw.decode("latin-1").partition("?")[0] if isinstance(raw, bytes) else path
        for form, methods in self._formed:
            match = form.fullmatch(text)
            if match is None:
                continue
            if method in methods:
                members = {name: _unquoted(part) for name, part in match.groupdict().items()}
                return methods[method], members, []
            known = known or list(methods)
        if known:
            return None, {}, known
        raise RouteNotFoundError(
            f"there is nothing at {path[:200]}", hint=f"{PREFIX}/openapi.json lists what there is"
        )


async def answer(
    route: Route, request: Request, backend: Backend, members: Mapping[str, str]
) -> Response:
    """Check the request, do what its route does, and write down a change."""
    if route.scope is not None:
        auth.require(request, route.scope)
    query = query_of(route.query, request.scope.get("query_string", b"").decode("latin-1"))
    body: Any = None
    content = b""
    if route.method in _CHANGING:
        content = await _content(request, backend.config.relay.limits.max_body)
        kind = media_type(request)
        if content and kind not in route.media and not (kind == "" and JSON in route.media):
            raise MediaTypeError(
                f"this takes {' or '.join(route.media)}, not {kind or 'an unnamed type'}",
                hint=f"send Content-Type: {route.media[0]}",
            )
        if route.raw:
            body = content
        elif route.body is not None:
            body = body_of(route.body, content)
        elif content.strip():
            body_of(_Nothing, content)

    async def act() -> Response:
        first = next(iter(members.values()), "")
        audited = (
            audit_trail.audited(request, f"{route.noun}.{route.verb}", f"{route.noun}/{first}")
            if route.verb
            else nullcontext()
        )
        async with audited as trail:
            return await route.work(Call(request, backend, members, query, body, trail))

    if route.once:
        return await idempotency.once(request, backend, route.name, content, act)
    return await act()


class _Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """A body with no members."""


def media_type(request: Request) -> str:
    """Return the type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _content(request: Request, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    async for part in request.stream():
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            raise BodyTooLargeError(
                f"the body is larger than {limit_bytes} bytes",
                hint="raise relay.limits.maxBody, or send less",
                details={"limit_bytes": limit_bytes},
            )
        parts.append(part)
    return b"".join(parts)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[a-z_]+(?::path)?\})", path)
    return re.compile("".join(_part(part) for part in parts), re.DOTALL)


def _part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    name, _, rest = part[1:-1].partition(":")
    return f"(?P<{name}>{'.+' if rest else '[^/]+'})"


def _order(path: str) -> tuple[int, ...]:
    """Sort paths with fixed words before those that take any word in their place."""
    ranks = {True: 1, False: 0}
    return tuple(
        2 if ":path" in part else ranks["{" in part] for part in path.strip("/").split("/")
    )


def _unquoted(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        return unquote(part, errors="replace")
