"""Whatever goes wrong becomes an answer: RFC 9457, with the product's own envelope inside.

An error that mnedge knows says what it is; one that nobody foresaw gets a reference, and its
traceback goes to the log only.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from math import ceil
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import msgspec

from mnedge.errors import MnedgeError, UnavailableError
from mnedge.gateway.connection import App, Message, Receive, Scope, Send, header, is_grpc
from mnedge.model.failure import bounded, failure_envelope

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""On every answer that does not set them itself; the Content-Security-Policy is the console's."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HTTP_CODES = {404: "http.not_found", 405: "http.method_not_allowed"}
_log = logging.getLogger("mnedge.gateway")


class Problems:
    """The outermost layer: names the request, answers for what fails inside."""

    def __init__(
        self,
        app: App,
        now: Callable[[], float],
        *,
        redact: Callable[[str], str] = str,
        on_denied: Callable[[MnedgeError, Scope, float], None] = lambda *_: None,
    ) -> None:
        self._app = app
        self._now = now
        self._redact = redact
        self._on_denied = on_denied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, whatever happens inside."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(scope)
        state["tell"] = self.tell
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": _headers(message, state["request_id"])}
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if started:
                # Too late for an answer: the server breaks the connection, so nobody takes what
                # was sent for the whole.
                if not state.get("told"):
                    self._reference(error, scope)
                raise BrokenAnswerError from error
            if is_grpc(scope) and scope.get("http_version") == "2":  # else there are no trailers
                await self._refuse_call(error, scope, sending)
                return
            status, headers, body = self.tell(error, scope)
            await sending({"type": "http.response.start", "status": status, "headers": headers})
            await sending({"type": "http.response.body", "body": body})

    def tell(self, error: Exception, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Return status, headers and body of the answer to an error."""
        request_id = str(scope["state"]["request_id"])
        known = _known(error)
        if known is None and _is_http(error):
            problem = _http_problem(error, request_id, self._now())
            told = getattr(error, "headers", None) or {}
            more = [(k.lower().encode(), v.encode("latin-1")) for k, v in told.items()]
        else:
            known = self._told(error, scope)
            problem = problem_of(known, request_id=request_id, at=self._now())
            more = _headers_of(known)
        body = self._redact(msgspec.json.encode(problem).decode()).encode()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            *more,
        ]
        return int(problem["status"]), headers, body

    def _told(self, error: Exception, scope: Scope) -> MnedgeError:
        """Return the error that is told: the one that is known, or one with a reference."""
        known = _known(error)
        if known is None:
            return UnforeseenError(
                "this should not happen",
                hint="the daemon's log has the details under this reference",
                details={"reference": self._reference(error, scope)},
            )
        self._on_denied(known, scope, self._now())
        return known

    async def _refuse_call(self, error: Exception, scope: Scope, send: Send) -> None:
        from mnedge.gateway.grpc.status import refuse

        await refuse(send, self._told(error, scope))

    @staticmethod
    def _reference(error: Exception, scope: Scope) -> str:
        reference = f"err_{token_hex(8)}"
        scope["state"]["told"] = True
        _log.error(
            "unforeseen error %s in %s %s (request %s)",
            reference,
            scope["method"],
            scope["path"],
            scope["state"]["request_id"],
            exc_info=error,
        )
        return reference


class UnforeseenError(UnavailableError):
    """Something broke that nobody foresaw; the reference leads to the details in the log."""

    code = "internal.unforeseen"
    http_status = 500


class BrokenAnswerError(Exception):
    """An answer broke off after it had begun; the connection ends with it."""


def problem_of(error: MnedgeError, *, request_id: str, at: float) -> dict[str, Any]:
    """Return the RFC 9457 document of a known error."""
    problems = error.details.get("problems")
    listed = problems if isinstance(problems, list) else []
    problem = _problem(error.code, error.http_status, error.message, request_id)
    problem["title"] = _title(type(error)) or problem["title"]
    details = _plain(error.details)
    envelope = failure_envelope(
        error.message,
        at=at,
        job_id=request_id,
        event_seq=0,
        component="gateway",
        code=error.code,
    )
    envelope["details"] = bounded(details | envelope["details"])
    if error.hint:
        envelope["remediation"] = error.hint
    problem |= {"hint": error.hint, "details": details, "error": envelope | {"links": []}}
    if listed:
        problem["errors"] = [_listed(one) for one in listed]
    return problem


def handlers() -> Mapping[Any, Callable[["Request", Exception], Awaitable["Response"]]]:
    """Return what a Starlette application is given as `exception_handlers`.

    They keep Starlette from answering in plain text; what `Problems` would say is said.
    """
    from starlette.exceptions import HTTPException

    return {HTTPException: _answer, MnedgeError: _answer, Exception: _answer}


async def _answer(request: "Request", error: Exception) -> "Response":
    """Answer from within Starlette; async, because it would call a plain function in a thread."""
    from starlette.responses import Response

    tell = request.scope["state"].get("tell")
    if tell is None:  # without our layers around it
        request.scope["state"].setdefault("request_id", "req_unknown")
        tell = Problems(_nothing, lambda: 0.0).tell
    status, headers, body = tell(error, request.scope)
    response = Response(body, status)
    response.raw_headers = headers
    return response


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive, send


def _problem(code: str, status: int, detail: str, request_id: str) -> dict[str, Any]:
    return {
        "type": f"urn:mnedge:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "hint": "",
        "request_id": request_id,
    }


def _http_problem(error: Any, request_id: str, at: float) -> dict[str, Any]:
    status = int(error.status_code)
    code = _HTTP_CODES.get(status, f"http.{status}")
    detail = str(error.detail)
    problem = _problem(code, status, detail, request_id)
    problem["error"] = failure_envelope(
        detail, at=at, job_id=request_id, event_seq=0, component="gateway", code=code
    )
    return problem


def _known(error: BaseException) -> MnedgeError | None:
    """Return the error that mnedge knows, also from inside a group; None if there is another."""
    if isinstance(error, MnedgeError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [_known(one) for one in _leaves(error)]
        if found and all(one is not None for one in found):
            return found[0]
    return None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


def _is_http(error: BaseException) -> bool:
    return hasattr(error, "status_code") and hasattr(error, "detail")


def _headers_of(error: MnedgeError) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = []
    wait_s = getattr(error, "retry_after_s", None)
    if wait_s is None and error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
        wait_s = 5.0
    if wait_s is not None:
        headers.append((b"retry-after", str(max(1, ceil(wait_s))).encode()))
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        why = "" if error.code == "auth.missing" else ', error="invalid_token"'
        headers.append((b"www-authenticate", f'Bearer realm="mnedge"{why}'.encode()))
    if error.code == "auth.scope":
        needed = error.details.get("needed", "")
        told = f'Bearer realm="mnedge", error="insufficient_scope", scope="{needed}"'
        headers.append((b"www-authenticate", told.encode()))
    more = getattr(error, "headers", None)
    if isinstance(more, Mapping):
        headers += [(k.lower().encode(), str(v).encode("latin-1")) for k, v in more.items()]
    return headers


def _headers(message: Message, request_id: str) -> list[tuple[bytes, bytes]]:
    headers = [(bytes(k).lower(), bytes(v)) for k, v in message.get("headers", ())]
    there = {name for name, _ in headers}
    headers += [(name, value) for name, value in SECURITY_HEADERS if name not in there]
    if b"x-request-id" not in there:
        headers.append((b"x-request-id", request_id.encode()))
    return headers


def _request_id(scope: Scope) -> str:
    given = header(scope, b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return f"req_{token_hex(10)}"


def _title(kind: type[MnedgeError]) -> str:
    first = (kind.__doc__ or "").strip().split("\n")[0]
    return first.split(";")[0].split(":")[0].rstrip(".")


def _plain(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the details as JSON can hold them, without the problems that stand in `errors`."""
    kept = {key: value for key, value in details.items() if key != "problems"}
    plain: dict[str, Any] = msgspec.to_builtins(kept, str_keys=True, enc_hook=str)
    return {str(key): value for key, value in plain.items()}


def _listed(problem: Any) -> dict[str, Any]:
    """Return one problem of many: of a bundle (with its `location`), or of a request."""
    fields = problem if isinstance(problem, Mapping) else msgspec.to_builtins(problem, enc_hook=str)
    given = dict(fields) if isinstance(fields, Mapping) else {"message": str(problem)}
    path, hint = given.get("path", ""), given.get("hint") or given.get("help", "")
    location = given.get("location")
    if isinstance(location, Mapping):
        source = location.get("source", "")
        path = str(location.get("path", ""))
        if source not in ("", "manifest.json"):
            path = f"{source}: {path}" if path else str(source)
    return {
        "path": path,
        "message": given.get("message", ""),
        "hint": hint,
        "rule": given.get("rule", ""),
    }
