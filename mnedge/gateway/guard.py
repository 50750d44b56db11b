"""Everything between a connection and the routes, in one place and one order.

problems → metrics → cross-origin rules → proxies → filter → recognition → rate limit → gate → app.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter
from typing import Any

from msgspec import Struct

from mnedge.config.settings import Config, RateLimit
from mnedge.errors import MnedgeError, NotAllowedError
from mnedge.gateway.auth import SAFE, Gate, Recognition, Verifying, address_of, known
from mnedge.gateway.connection import App, Message, Receive, Scope, Send, is_grpc
from mnedge.gateway.filter import Filter
from mnedge.gateway.limits import Buckets, Limits
from mnedge.gateway.problems import Problems
from mnedge.gateway.proxies import Forwarded
from mnedge.identity.audit import AuditLog
from mnedge.model.access import Principal
from mnedge.model.access import Scope as Allowed
from mnedge.model.tracing import parsed
from mnedge.observe.metrics import Registry

_DENIALS = RateLimit(requests_per_second=0.1, burst=10)
"""How many denials of one address are written down; the rest is counted."""
_access = logging.getLogger("mnedge.access")
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Guarding(Struct, frozen=True, kw_only=True):
    """What the layers work with."""

    settings: Callable[[], Config]
    tokens: Verifying
    audit: AuditLog
    now: Callable[[], float]
    metrics: Registry | None = None
    redact: Callable[[str], str] = str


def guarded(app: App, by: Guarding) -> App:
    """Return the application behind all layers."""
    figures = _Figures(by.metrics or Registry())
    relay = by.settings().relay
    prometheus = by.settings().trace.metrics.prometheus

    def also_open(scope: Scope) -> bool:
        told = prometheus.scrape and prometheus.auth == "none" and scope["method"] == "GET"
        return told and scope["path"] == prometheus.path

    inner: App = Gate(app, also_open=also_open)
    inner = Limits(inner, lambda: by.settings().relay.rate_limit, on_refused=figures.limited)
    inner = Recognition(inner, by.tokens)
    inner = Filter(inner, lambda: by.settings().relay, on_blocked=figures.blocked)
    inner = Forwarded(inner, relay.trusted_proxies)
    if relay.cors:
        inner = _cross_origin(inner, relay.cors)
    inner = _Counted(inner, figures)
    witness = _Witness(by.audit, figures)
    return Problems(_Carrying(inner, by.audit), by.now, redact=by.redact, on_denied=witness.saw)


class _Figures:
    def __init__(self, registry: Registry) -> None:
        self._denied = registry.counter(
            "mnedge_auth_denied_total", "Requests refused for who asked.", ("reason",)
        )
        self._limited = registry.counter(
            "mnedge_rate_limited_total", "Requests refused for how often.", ("key_kind",)
        )
        self._blocked = registry.counter(
            "mnedge_waf_blocked_total", "Requests refused for what they are.", ("rule",)
        )
        self._requests = registry.counter(
            "http_requests_total", "Requests answered.", ("method", "route", "status")
        )
        self._seconds = registry.histogram(
            "http_request_duration_seconds", "Until an answer began.", _SECONDS, ("route",)
        )

    def denied(self, code: str) -> None:
        self._denied.add(1, code.removeprefix("auth."))

    def limited(self, kind: str) -> None:
        self._limited.add(1, kind)

    def blocked(self, rule: str) -> None:
        self._blocked.add(1, rule)

    def answered(self, scope: Scope, status: int, took_s: float) -> None:
        route = route_of(scope)
        self._requests.add(1, scope["method"], route, status)
        self._seconds.observe(took_s, route)


class _Counted:
    """Counts answers; how long one took is until it began, so that streams do not count."""

    def __init__(self, app: App, figures: _Figures) -> None:
        self._app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        told = False

        async def sending(message: Message) -> None:
            nonlocal told
            if message["type"] == "http.response.start":
                told = True
                self._figures.answered(scope, int(message["status"]), perf_counter() - began)
                _tell(scope, int(message["status"]), perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except MnedgeError as error:
            if not told:
                self._figures.answered(scope, error.http_status, perf_counter() - began)
                _tell(scope, error.http_status, perf_counter() - began)
            raise


def _tell(scope: Scope, status: int, took_s: float) -> None:
    """Have the log say who asked what: changes and refusals always, looks when it is verbose."""
    looks = scope["method"] in SAFE and status < HTTPStatus.BAD_REQUEST
    level = logging.DEBUG if looks else logging.INFO
    if not _access.isEnabledFor(level):
        return
    caller = known(scope)
    place = parsed(scope["state"].get("trace_parent", ""))
    fields = {
        "method": scope["method"],
        "route": route_of(scope),
        "status": status,
        "took_ms": round(took_s * 1e3, 1),
        "caller": caller.name if caller is not None else "",
        "address": address_of(scope),
        "request_id": scope["state"].get("request_id", ""),
        "trace_id": None if place is None else place.trace_id,
        "span_id": None if place is None else place.span_id,
    }
    _access.log(
        level, "%s %s %s", scope["method"], route_of(scope), status, extra={"fields": fields}
    )


class _Carrying:
    """Puts the audit log where routes find it."""

    def __init__(self, app: App, audit: AuditLog) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["audit"] = self._audit
        await self._app(scope, receive, send)


class _Witness:
    """Has denials written down, but not without end: an attacker must not fill the disk."""

    def __init__(self, audit: AuditLog, figures: _Figures) -> None:
        self._audit = audit
        self._figures = figures
        self._buckets = Buckets(10_000)
        self._unwritten = 0

    def saw(self, error: MnedgeError, scope: Scope, at: float) -> None:
        """Note that somebody was refused."""
        if not isinstance(error, NotAllowedError):
            return
        self._figures.denied(error.code)
        if error.code == "auth.missing" or scope["state"].get("denial_written"):
            return
        address = address_of(scope)
        if not self._buckets.take(address, _DENIALS, at).allowed:
            self._unwritten += 1
            return
        more = f" (and {self._unwritten} more before)" if self._unwritten else ""
        self._unwritten = 0
        actor = known(scope) or Principal(
            name="unknown", scope=Allowed.READ, kind="unknown", address=address
        )
        self._audit.note(
            actor,
            "access.denied",
            f"{scope['method']} {scope['path']}",
            "deny",
            f"{error.code}: {error.message}{more}",
            str(scope["state"].get("request_id", "")),
        )


def route_of(scope: Scope) -> str:
    """Return the pattern that the path matched, never the path itself."""
    told = scope.get("state", {}).get("route")
    if isinstance(told, str):
        return told
    if is_grpc(scope):
        return "grpc"
    if "endpoint" not in scope:
        return "none"
    path = str(scope["path"])
    for name, value in scope.get("path_params", {}).items():
        path = path.replace(f"/{value}", f"/{{{name}}}", 1)
    return path


def _cross_origin(app: App, origins: tuple[str, ...]) -> App:
    from starlette.middleware.cors import CORSMiddleware

    wrapped: Any = CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["authorization", "content-type", "idempotency-key", "last-event-id"],
        expose_headers=["location", "retry-after", "x-request-id", "etag"],
        max_age=600,
    )
    return wrapped  # type: ignore[no-any-return]
