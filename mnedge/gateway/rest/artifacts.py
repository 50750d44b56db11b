"""Files that runs left: listed, and read whole or in part.

A path is looked up from the run folder downwards, one segment at a time, and no link is followed:
workers write there.
"""

import errno
import os
import re
import stat
from collections.abc import AsyncIterator
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import trio
from starlette.requests import Request
from starlette.responses import Response

from mnedge.errors import NotFoundError, UsageError
from mnedge.gateway.connection import Receive, Send
from mnedge.gateway.connection import Scope as AsgiScope
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.jobs import found_job
from mnedge.gateway.rest.routing import Answer, Call, Route, json_reply
from mnedge.model.artifacts import content_type, find_artifact
from mnedge.model.states import TERMINAL
from mnedge.store.runs.contents import artifact_paths, artifact_records

CHUNK_BYTES = 256 << 10
SHOWN = frozenset({"text/plain", "application/json", "application/x-ndjson", "text/markdown"})
"""Types that a browser may show; everything else is saved to a file."""
_IMAGES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
           "webp": "image/webp"}  # fmt: skip
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CHANGING = frozenset({"run.json", "observability_summary.json"})
_readers = trio.CapacityLimiter(8)


class ArtifactNotFoundError(NotFoundError):
    """The run left no such file."""

    code = "artifact.not_found"


class RangeError(UsageError):
    """The file has no bytes where they are asked for."""

    code = "artifact.range"
    http_status = 416

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the file has {size_bytes} bytes", details={"size_bytes": size_bytes})
        self.headers = {"content-range": f"bytes */{size_bytes}"}


class Span(NamedTuple):
    """Bytes of a file: the first, and how many."""

    start: int
    length: int


async def list_artifacts(call: Call[Query, None]) -> Response:
    """Return the files of a run, with size, type and digest."""
    record = await found_job(call)
    changing = frozenset[str]() if record.status in TERMINAL else _CHANGING

    def look() -> list[dict[str, Any]]:
        there = frozenset(artifact_paths(Path(record.run_folder)))
        return artifact_records(Path(record.run_folder), changing=changing & there)

    data = await trio.to_thread.run_sync(look, limiter=_readers) if record.run_folder else []
    place = f"/api/v1/jobs/{record.job_id}/artifacts/"
    listed = [{**one, "href": place + quote(str(one["path"]))} for one in data]
    return json_reply(shapes.Artifacts(job_id=record.job_id, data=listed))


async def read_artifact(call: Call[Query, None]) -> Response:
    """Return a file, or the part of it that is asked for.

    Raises: ArtifactNotFoundError, RangeError.
    """
    record = await found_job(call)
    folder = Path(record.run_folder)
    wanted = call.path["path"]
    opened = await trio.to_thread.run_sync(partial(_opened, folder, wanted), limiter=_readers)
    if opened is None:
        raise ArtifactNotFoundError(
            f"job {record.job_id} left no file {wanted[:200]!r}",
            hint=f"GET /api/v1/jobs/{record.job_id}/artifacts lists them",
        )
    return FileAnswer(*opened)


class FileAnswer(Response):
    """A file, sent in pieces; it closes the file."""

    def __init__(self, path: str, file: int) -> None:
        super().__init__(b"", 200)
        self._path = path
        self._file = file

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send it. Raises: RangeError."""
        try:
            await self._answer(Request(scope, receive), send)
        finally:
            os.close(self._file)

    async def _answer(self, request: Request, send: Send) -> None:
        found = os.fstat(self._file)
        tag = f'"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"'
        headers = {
            **_kind_headers(self._path),
            "etag": tag,
            "last-modified": formatdate(found.st_mtime, usegmt=True),
            "accept-ranges": "bytes",
            "cache-control": "no-cache",
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'; sandbox",
        }
        if _known(request.headers.get("if-none-match"), tag):
            await _begin(send, 304, headers)
            await send({"type": "http.response.body", "body": b""})
            return
        span = None
        if request.headers.get("if-range", tag) == tag:
            span = span_of(request.headers.get("range"), found.st_size)
        status = 200
        if span is not None:
            status = 206
            last = span.start + span.length - 1
            headers["content-range"] = f"bytes {span.start}-{last}/{found.st_size}"
        span = span or Span(0, found.st_size)
        headers["content-length"] = str(span.length)
        await _begin(send, status, headers)
        if request.method != "HEAD":
            async for piece in self._pieces(span):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pieces(self, span: Span) -> AsyncIterator[bytes]:
        at, left = span
        while left:
            read = partial(os.pread, self._file, min(CHUNK_BYTES, left), at)
            piece = await trio.to_thread.run_sync(read, limiter=_readers)
            if not piece:  # it was cut meanwhile: what was promised cannot be kept
                raise ConnectionError("the file became shorter while it was sent")
            at, left = at + len(piece), left - len(piece)
            yield piece


async def _begin(send: Send, status: int, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


def span_of(text: str | None, size_bytes: int) -> Span | None:
    """Return the bytes that a `Range` header asks for; None for the whole file.

    What is no range of bytes, and more than one, is as if it were not there.
    Raises: RangeError.
    """
    match = _RANGE.fullmatch(text.strip()) if text else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size_bytes)
        if not length:
            raise RangeError(size_bytes)
        return Span(size_bytes - length, length)
    start = int(match[1])
    last = min(int(match[2]) if match[2] else size_bytes - 1, size_bytes - 1)
    if match[2] and int(match[2]) < start:
        return None
    if start >= size_bytes:
        raise RangeError(size_bytes)
    return Span(start, last - start + 1)


def _known(header: str | None, tag: str) -> bool:
    if header is None:
        return False
    tags = [one.strip().removeprefix("W/") for one in header.split(",")]
    return "*" in tags or tag in tags


def _kind_headers(path: str) -> dict[str, str]:
    """Return the type, and whether it is shown or saved: what could run in a browser never is."""
    name = path.rsplit("/", 1)[-1]
    ending = name.rpartition(".")[2].lower()
    kind = _IMAGES.get(ending) or content_type(name)
    shown = kind in SHOWN or kind.startswith("image/")
    text = kind.startswith("text/") or kind in SHOWN
    return {
        "content-type": f"{kind}; charset=utf-8" if text else kind,
        "content-disposition": f"{'inline' if shown else 'attachment'}; "
        f"filename*=UTF-8''{quote(name, safe='')}",
    }


def _opened(folder: Path, wanted: str) -> tuple[str, int] | None:
    """Return the file that a path or an id means, open; None if there is none."""
    segments = wanted.split("/")
    file = None
    if all(segment not in ("", ".", "..") and "\0" not in segment for segment in segments):
        file = _descend(folder, segments)
    if file is not None:
        return wanted, file
    if "/" in wanted or not folder.is_dir():
        return None
    named = find_artifact(wanted, artifact_paths(folder))
    if named is None or named == wanted:
        return None
    file = _descend(folder, named.split("/"))
    return None if file is None else (named, file)


def _descend(folder: Path, segments: list[str]) -> int | None:
    """Open the file, going down through real folders only."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        here = os.open(folder, flags | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        for segment in segments[:-1]:
            inner = os.open(segment, flags | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = inner
        file = os.open(segments[-1], flags, dir_fd=here)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO):
            raise
        return None
    finally:
        os.close(here)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    return file


ROUTES = (
    Route(
        method="GET",
        path="/jobs/{job_id}/artifacts",
        work=list_artifacts,
        summary="List the files that a run left",
        tag="artifacts",
        answers={200: Answer(body=shapes.Artifacts)},
        refuses=(404,),
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/artifacts/{path:path}",
        work=read_artifact,
        summary="Read a file that a run left, whole or in part",
        tag="artifacts",
        answers={
            200: Answer(media=("*/*",), headers=("etag", "accept-ranges")),
            206: Answer(media=("*/*",), headers=("content-range",)),
            304: Answer(media=(), explained="It is as the client has it."),
        },
        refuses=(404, 416),
        headers=(
            ("range", "`bytes=0-99`, `bytes=100-`, or `bytes=-50` for the last ones."),
            ("if-none-match", "The `ETag` of what the client has."),
            ("if-range", "The `ETag` that a range is of."),
        ),
    ),
)
