"""How a call ends, in the words of gRPC: what the published client tells its user apart.

Source: client surface 1.5.
"""

from enum import IntEnum
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from mnedge.bundle.problem import BundleInvalidError
from mnedge.errors import (
    ConflictError,
    CorruptError,
    MnedgeError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
    UsageError,
)
from mnedge.gateway.connection import Send
from mnedge.model.body import json_bytes

TEXT_BYTES = 4096
"""Of a message as it is sent: a client takes 8 KiB of trailers."""
_SAFE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


class Status(IntEnum):
    """The codes that end calls here."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class End(Struct, frozen=True):
    """How a call ended, and why."""

    status: Status = Status.OK
    text: str = ""
    code: str = ""
    """Of the error, as REST and the command line tell it."""

    def trailers(self) -> list[tuple[bytes, bytes]]:
        """Return what the client is sent last."""
        found = [(b"grpc-status", str(int(self.status)).encode())]
        if self.text:
            found.append((b"grpc-message", _encoded(self.text)))
        if self.code:
            found.append((b"mnedge-code", self.code.encode()))
        return found


OK = End()


class NotOfferedError(UsageError):
    """This node does not do that."""

    code = "grpc.not_offered"
    http_status = 501


def end_of(error: MnedgeError) -> End:
    """Return what the client is told of an error."""
    return End(_status_of(error), _text_of(error), error.code)


async def refuse(send: Send, error: MnedgeError) -> None:
    """Answer a gRPC request that got no further."""
    await finish(send, end_of(error))


async def finish(
    send: Send, end: End, *, begun: bool = False, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    """End the answer; `begun`: something was sent already."""
    if not begun:
        await begin(send, more)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    await send(
        {"type": "http.response.trailers", "headers": end.trailers(), "more_trailers": False}
    )


async def begin(send: Send, more: list[tuple[bytes, bytes]] | None = None) -> None:
    """Begin the answer."""
    headers = [(b"content-type", b"application/grpc"), *(more or [])]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})


_BY_FAMILY: tuple[tuple[type[MnedgeError], Status], ...] = (
    (NotOfferedError, Status.UNIMPLEMENTED),
    (NotAllowedError, Status.PERMISSION_DENIED),
    (NotFoundError, Status.NOT_FOUND),
    (ConflictError, Status.FAILED_PRECONDITION),
    (OverloadedError, Status.RESOURCE_EXHAUSTED),
    (UnavailableError, Status.UNAVAILABLE),
    (CorruptError, Status.DATA_LOSS),
    (UsageError, Status.INVALID_ARGUMENT),
)
_BY_HTTP = {401: Status.UNAUTHENTICATED, 413: Status.RESOURCE_EXHAUSTED}
"""What says more than the family does."""


def _status_of(error: MnedgeError) -> Status:
    if isinstance(error, ConflictError) and error.code.endswith(".exists"):
        return Status.ALREADY_EXISTS
    if error.http_status in _BY_HTTP:
        return _BY_HTTP[error.http_status]
    return next(
        (status for family, status in _BY_FAMILY if isinstance(error, family)), Status.INTERNAL
    )


def _text_of(error: MnedgeError) -> str:
    if isinstance(error, BundleInvalidError):
        return f"input_validation_failed: {_report(error)}"
    text = f"{error.message}; {error.hint}" if error.hint else error.message
    return f"resource_overloaded: {text}" if isinstance(error, OverloadedError) else text


def _report(error: BundleInvalidError) -> str:
    """Return the report that the published REST server passes on; as many problems as fit."""
    problems = [one for one in error.details.get("problems", []) if one["severity"] == "error"]
    report: dict[str, Any] = {
        "version": 1,
        "schema_version": "validation.report/v1",
        "ok": False,
        "status": "failed",
        "error_count": len(problems),
        "errors": [],
        "issues": [],
        "results": [],
    }
    for one in problems:
        path = one["location"]["path"]
        report["errors"].append(f"{path}: {one['message']}" if path else one["message"])
        told = ("code", "message", "help", "severity", "location")
        report["issues"].append({key: one[key] for key in told})
        if len(_encoded_whole(json_bytes(report).decode())) > TEXT_BYTES - 100:
            report["errors"].pop()
            report["issues"].pop()
            break
    if not report["errors"]:
        report["errors"].append(error.message[:1000])
    return json_bytes(report).decode()


def _encoded_whole(text: str) -> str:
    return quote(text, safe=_SAFE)


def _encoded(text: str) -> bytes:
    """Return the text percent-encoded, cut where it becomes too long."""
    whole = _encoded_whole(text)
    if len(whole) > TEXT_BYTES:
        short = text.encode()[: TEXT_BYTES // 3].decode(errors="ignore")
        whole = _encoded_whole(f"{short}…")
    return whole.encode()
