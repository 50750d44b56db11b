"""The console is a client of the REST API like any other, only within this process.

What a page shows is what `/api/v1` says, and what a form does is what a route there does: with the
same scopes, the same refusals and the same entry in the audit record.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode

import msgspec
import trio
from msgspec import Struct
from starlette.requests import Request
from starlette.types import Message

from mnedge.errors import MnedgeError
from mnedge.gateway.problems import problem_of

PREFIX = "/api/v1"
_NO_BYTES = 416
"""There is not one byte where they were asked for."""
_PASSED = ("host", "traceparent", "x-request-id", "user-agent")
_DROPPED = ("app", "endpoint", "path_params", "router", "route", "extensions")


class Refusal(Struct, frozen=True, kw_only=True):
    """Why the API did not do it."""

    status: int
    code: str = ""
    title: str = ""
    message: str = ""
    hint: str = ""
    problems: tuple[Mapping[str, Any], ...] = ()
    """What is wrong with a bundle, one by one."""


class Refused(Exception):
    """The API refused; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


async def get(request: Request, path: str, **query: Any) -> Any:
    """Return what `GET /api/v1/<path>` says. Raises: Refused."""
    return await call(request, "GET", path, query=query)


async def post(request: Request, path: str, body: Any = None, **query: Any) -> Any:
    """Return what `POST /api/v1/<path>` says. Raises: Refused."""
    content = b"" if body is None else msgspec.json.encode(body)
    return await call(request, "POST", path, query=query, body=content)


async def beginning(request: Request, path: str, most_bytes: int) -> bytes:
    """Return at most the first bytes of what lies at a path. Raises: Refused."""
    span = {"range": f"bytes=0-{most_bytes - 1}"}
    try:
        status, content = await _exchange(request, "GET", path, headers=span)
    except Refused as error:
        status, content = error.refusal.status, b""
        if status != _NO_BYTES:
            raise
    if status == _NO_BYTES:
        return b""
    if status >= 400:
        raise Refused(refusal_of(status, decoded(content)))
    return content[:most_bytes]


async def call(
    request: Request,
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: bytes = b"",
    content_type: str = "application/json",
) -> Any:
    """Return the body that the API answers with. Raises: Refused."""
    headers = {"accept": "application/json"}
    if method != "GET":
        headers |= {"content-type": content_type, "content-length": str(len(body))}
    status, content = await _exchange(
        request, method, path, query=query, body=body, headers=headers
    )
    answer = decoded(content)
    if status >= 400:
        raise Refused(refusal_of(status, answer))
    return answer


async def _exchange(
    request: Request,
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: bytes = b"",
    headers: Mapping[str, str],
) -> tuple[int, bytes]:
    full = PREFIX + path
    kept = {name: value for name, value in request.scope.items() if name not in _DROPPED}
    asked = [(name, str(value)) for name, value in (query or {}).items() if value not in (None, "")]
    passed = {name: request.headers[name] for name in _PASSED if name in request.headers}
    told = {**passed, **headers}
    scope = {
        **kept,
        "method": method,
        "path": unquote(full),
        "raw_path": full.encode(),
        "root_path": "",
        "query_string": urlencode(asked).encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in told.items()],
    }
    taken = False
    status = 500
    parts: list[bytes] = []

    async def receive() -> Message:
        nonlocal taken
        if taken:
            await trio.sleep_forever()  # nobody hangs up
        taken = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    try:
        await request.app.state.api(scope, receive, send)
    except MnedgeError as error:
        raise Refused(refusal_for(error)) from error
    return status, b"".join(parts)


def at(*segments: str) -> str:
    """Return a path below the API, each segment quoted."""
    return "".join("/" + quote(segment, safe="") for segment in segments)


def refusal_for(error: MnedgeError) -> Refusal:
    """Return what there is to say about an error that was raised within the gateway."""
    return refusal_of(error.http_status, problem_of(error, request_id="", at=0.0))


def refusal_of(status: int, answer: Any) -> Refusal:
    """Return why, from a problem document or whatever else came."""
    told = answer if isinstance(answer, dict) else {}
    problems = told.get("errors")
    return Refusal(
        status=status,
        code=str(told.get("code") or ""),
        title=str(told.get("title") or ""),
        message=str(told.get("detail") or told.get("title") or answer or "no more is known"),
        hint=str(told.get("hint") or ""),
        problems=tuple(one for one in problems if isinstance(one, dict))
        if isinstance(problems, list)
        else (),
    )


def decoded(content: bytes) -> Any:
    """Return the JSON value that the bytes hold, or them as text."""
    if not content:
        return None
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return content.decode(errors="replace")
