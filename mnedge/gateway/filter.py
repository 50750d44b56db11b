"""What is refused before anybody is asked who they are.

In this order:

method, path (one normalisation, which everything after it matches on), headers, media type, size
and shape of the body, and last the signatures of attacks in path, query and header values. The
last alone can be set to `detect` (only logged) or `disabled`. Source: platform 7.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from mnedge.config.settings import Relay
from mnedge.errors import NotAllowedError, UsageError
from mnedge.gateway.connection import App, Message, Receive, Scope, Send, header, is_grpc
from mnedge.gateway.json_shape import JsonShape
from mnedge.gateway.llm.refusals import BodyTooLargeError
from mnedge.gateway.signatures import hostile
from mnedge.gateway.strict_http import MOST_HEADERS

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LONGEST_PATH_BYTES = 4096
LONGEST_QUERY_BYTES = 8192
_MEDIA = re.compile(
    r"application/(?:json|[\w.-]+\+json|grpc(?:\+proto)?|zip|octet-stream|x-ndjson|yaml|x-yaml"
    r"|x-www-form-urlencoded)|multipart/form-data|text/(?:plain|yaml)"
)
_ONCE = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"transfer-encoding",
        b"host",
        b"idempotency-key",
    }
)
_UNSEEN = frozenset(
    {b"authorization", b"cookie", b"traceparent", b"baggage", b"proxy-authorization"}
)
"""Headers that signatures do not look at."""
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ufffe\uffff]")
_MANIFESTS = ("/api/v1/jobs", "/api/v1/definitions", "/api/v1/blueprints")
"""Paths whose bodies may have more keys: manifests have bounds of their own."""
_log = logging.getLogger("mnedge.gateway")


class RequestMalformedError(UsageError):
    """The request is not one that every reader would understand alike."""

    code = "relay.malformed"


class MethodUnknownError(UsageError):
    """The gateway does not know this HTTP method."""

    code = "relay.method"
    http_status = 405
    headers = {"allow": ", ".join(METHODS)}  # noqa: RUF012


class HeadersTooLargeError(UsageError):
    """The request has too many headers, or too large ones."""

    code = "relay.headers_too_large"
    http_status = 431


class MediaTypeError(UsageError):
    """The body is of a kind that the gateway does not take."""

    code = "relay.media_type"
    http_status = 415


class BlockedError(NotAllowedError):
    """Path, query or headers look like an attack; bodies are never judged."""

    code = "relay.blocked"


class Filter:
    """Refuses what is malformed, too large or hostile."""

    def __init__(
        self,
        app: App,
        settings: Callable[[], Relay],
        *,
        on_blocked: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._on_blocked = on_blocked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let pass with a normalised path and a bounded body, or refuse.

        Raises: RequestMalformedError, MethodUnknownError, HeadersTooLargeError, MediaTypeError,
        BodyTooLargeError, BlockedError.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        relay = self._settings()
        try:
            checked(scope, relay)
        except (UsageError, NotAllowedError) as error:
            self._on_blocked(error.code.removeprefix("relay."))
            raise
        self._judge(scope, relay)
        await self._app(scope, self._bounded(scope, receive, relay), send)

    def _judge(self, scope: Scope, relay: Relay) -> None:
        mode = relay.security.waf
        if mode == "disabled":
            return
        rule = hostile(_asked(scope), _told(scope))
        if rule is None:
            return
        self._on_blocked(rule)
        _log.warning(
            "request looks like an attack (%s): %s %s", rule, scope["method"], scope["path"]
        )
        if mode == "enabled":
            raise BlockedError(
                "this request looks like an attack",
                hint="what it asks for can be sent in a body, or set relay.security.waf: detect",
                details={"rule": rule},
            )

    @staticmethod
    def _bounded(scope: Scope, receive: Receive, relay: Relay) -> Receive:
        most, seen = relay.limits.max_body, 0
        shape = JsonShape(count_keys=not scope["path"].startswith(_MANIFESTS))
        looks = _is_json(header(scope, b"content-type"))

        async def receiving() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                body = message.get("body", b"")
                seen += len(body)
                if seen > most:
                    raise _too_large(most)
                if looks and not shape.takes(body):
                    raise RequestMalformedError(shape.why, hint="send a flatter document")
            return message

        return receiving


def checked(scope: Scope, relay: Relay) -> None:
    """Normalise the path and refuse what is malformed.

    Raises: as `Filter`.
    """
    if scope["method"] not in METHODS:
        raise MethodUnknownError(f"the method {scope['method'][:20]!r} is not known here")
    _check_path(scope)
    _check_headers(scope, relay.limits.header_bytes)
    _check_media(scope)
    length = header(scope, b"content-length")
    if length is not None:
        if not length.isdigit() or len(length) > 18:
            raise RequestMalformedError("Content-Length is no number")
        if int(length) > relay.limits.max_body:
            raise _too_large(relay.limits.max_body)


def normal_path(raw: bytes) -> str:
    """Return the path decoded once.

    Raises: RequestMalformedError for what two readers could resolve differently.
    """
    if not raw.startswith(b"/") or len(raw) > LONGEST_PATH_BYTES:
        raise RequestMalformedError("the path must begin with / and have at most 4096 bytes")
    if _ESCAPE.search(raw) or re.search(rb"%(?:2[fF]|5[cC]|00)", raw) or b"#" in raw:
        raise RequestMalformedError("the path has a broken escape, or escapes a separator")
    try:
        path = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise RequestMalformedError("the path is not UTF-8") from None
    if _FORBIDDEN.search(path):
        raise RequestMalformedError("the path has characters that no path of ours has")
    path = re.sub(r"/{2,}", "/", path)
    if any(part in (".", "..") for part in path.split("/")):
        raise RequestMalformedError("the path must not have the parts . and ..")
    return path


def _check_path(scope: Scope) -> None:
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    scope["path"] = path = normal_path(bytes(raw))
    scope["raw_path"] = quote(path, safe="/:@!$&'()*+,;=~-._").encode()
    query = bytes(scope.get("query_string", b""))
    if len(query) > LONGEST_QUERY_BYTES:
        raise RequestMalformedError("the query has more than 8192 bytes")
    if re.search(rb"[\x00-\x20\x7f-\xff]", query):
        raise RequestMalformedError("the query has characters that must be escaped")


def _check_headers(scope: Scope, most_bytes: int) -> None:
    headers = scope["headers"]
    size = sum(len(name) + len(value) + 4 for name, value in headers)
    if len(headers) > MOST_HEADERS or size > most_bytes:
        raise HeadersTooLargeError(
            f"more than {MOST_HEADERS} headers, or {most_bytes} bytes of them",
            hint="relay.limits.headerBytes says how much is taken",
        )
    for name, value in headers:
        if not _VALUE.fullmatch(value):
            raise RequestMalformedError(f"the header {_shown(name)} has forbidden characters")
    names = Counter(name for name, _ in headers)
    for name in _ONCE & names.keys():
        if names[name] > 1:
            raise RequestMalformedError(f"the header {_shown(name)} is there twice")
    if b"content-length" in names and b"transfer-encoding" in names:
        raise RequestMalformedError("a length beside chunks")


def _check_media(scope: Scope) -> None:
    encoding = header(scope, b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise MediaTypeError("the body is compressed", hint="send it as it is")
    given = header(scope, b"content-type")
    if given is None or scope["method"] in ("GET", "HEAD", "DELETE", "OPTIONS"):
        return
    kind, *parameters = given.decode("latin-1").split(";")
    if not _MEDIA.fullmatch(kind.strip().lower()):
        raise MediaTypeError(
            f"bodies of the type {kind.strip()[:80]!r} are not taken", hint="send application/json"
        )
    for parameter in parameters:
        key, _, value = parameter.strip().partition("=")
        charset = value.strip('"').lower()
        if key.strip().lower() == "charset" and charset not in ("utf-8", "utf8", "us-ascii"):
            raise MediaTypeError("texts must be UTF-8", hint="charset=utf-8")


def _is_json(kind: bytes | None) -> bool:
    text = (kind or b"").split(b";")[0].strip().lower()
    return text == b"application/json" or text.endswith(b"+json")


def _asked(scope: Scope) -> list[str]:
    """Return what is asked for: the path, and each part of the query, decoded."""
    if is_grpc(scope):
        return [scope["path"]]
    query = bytes(scope.get("query_string", b"")).decode("latin-1")
    texts = [unquote_plus(part) for part in query.split("&") if part]
    return [scope["path"], *(re.sub(r"/\*.*?\*/", " ", text) for text in texts)]


def _told(scope: Scope) -> list[str]:
    return [
        bytes(value).decode("latin-1") for name, value in scope["headers"] if name not in _UNSEEN
    ]


def _shown(name: bytes) -> str:
    return bytes(name)[:40].decode("latin-1")


def _too_large(most: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the body has more than {most} bytes",
        hint="relay.limits.maxBody says how much is taken",
        details={"most_bytes": most},
    )
