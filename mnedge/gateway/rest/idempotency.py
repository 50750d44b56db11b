"""What is asked twice under one key is done once, and answered the same.

Key `idempotency/<digest of caller and key>`: what was asked, and the answer once there is one. A
refusal is not kept: nothing was done then. Rows older than a day are dropped by later requests.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256

import msgspec
import trio
from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import Response

from mnedge.errors import ConflictError, UsageError
from mnedge.gateway.auth import principal_of
from mnedge.gateway.backend import Backend
from mnedge.ports import Row, Table

ROWS = "idempotency/"
HEADER = "idempotency-key"
KEEP_S = 86400.0
PRUNE_S = 600.0
"""Between two looks for rows that are too old, by requests that make new ones."""
MOST_BYTES = 1 << 20
"""Of an answer that is kept; a larger one is not, and neither is its key."""
_KEY_CHARS = 255


class KeyInvalidError(UsageError):
    """The `Idempotency-Key` is empty, too long, or no plain text."""

    code = "idempotency.key_invalid"


class MismatchError(UsageError):
    """The key was used for another request."""

    code = "idempotency.mismatch"
    http_status = 422


class RunningError(ConflictError):
    """The first request under this key is still being worked on."""

    code = "idempotency.running"
    retry_after_s = 1.0


class Kept(Struct, kw_only=True, omit_defaults=True):
    """One key."""

    digest: str
    at: float
    status: int = 0
    """0: no answer yet."""
    headers: list[tuple[str, str]] = msgspec.field(default_factory=list)
    body: bytes = b""


class Once(Struct, frozen=True):
    """What a route may know of the key: it names what it makes after these, so that a second try
    after a crash finds it."""

    at: float
    digest: str
    """Of the key and its caller: no other request has it, however alike it is."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode
_running: set[str] = set()
"""Keys that this process works on: a row without an answer that is not here is of one that died."""
_pruned_at: dict[int, float] = {}


async def once(
    request: Request,
    backend: Backend,
    route: str,
    content: bytes,
    act: Callable[[], Awaitable[Response]],
) -> Response:
    """Do it, or return what came of it when it was done.

    Raises: KeyInvalidError, MismatchError, RunningError.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return await act()
    if not 0 < len(key) <= _KEY_CHARS or not key.isascii() or not key.isprintable():
        raise KeyInvalidError(
            f"an Idempotency-Key has 1 to {_KEY_CHARS} printable characters",
            hint="a UUID is a good one",
        )
    table, now = backend.store.table, backend.now()
    row_key = ROWS + sha256(f"{principal_of(request.scope).name}\0{key}".encode()).hexdigest()[:40]
    digest = _digest(route, request, content)
    if row_key in _running:
        raise RunningError(
            "the first request with this Idempotency-Key is not answered yet", hint="ask again soon"
        )
    _running.add(row_key)
    try:
        kept = await _first(table, row_key, Kept(digest=digest, at=now))
        if kept.status:
            headers = {**dict(kept.headers), "idempotency-replayed": "true"}
            return Response(kept.body, kept.status, headers)
        request.scope["state"]["once"] = Once(kept.at, sha256(row_key.encode()).hexdigest())
        await _prune(table, now)
        return await _done(table, row_key, kept, act)
    finally:
        _running.discard(row_key)


def once_of(request: Request) -> Once | None:
    """Return what is known of the request's key; None if it has none."""
    found = request.scope.get("state", {}).get("once")
    return found if isinstance(found, Once) else None


async def _first(table: Table, row_key: str, wanted: Kept) -> Kept:
    """Return the row of the key, which is ours if there was none or it is too old."""
    while True:
        row = await table.get(row_key)
        if row is not None:
            kept = _read(row)
            if kept is not None and wanted.at - kept.at < KEEP_S:
                if kept.digest != wanted.digest:
                    raise MismatchError(
                        "this Idempotency-Key was used for another request",
                        hint="take a new key for each request; repeat it only to ask the same",
                    )
                return kept
        try:
            await table.put(row_key, _encode(wanted), if_version=0 if row is None else row.version)
        except ConflictError:
            continue
        return wanted


async def _done(
    table: Table, row_key: str, kept: Kept, act: Callable[[], Awaitable[Response]]
) -> Response:
    """Act, and keep the answer; without one the key is free again."""
    answered = False
    try:
        response = await act()
        body = bytes(response.body)
        if response.status_code < 500 and len(body) <= MOST_BYTES:
            headers = [
                (name, value)
                for name, value in response.headers.items()
                if name in ("content-type", "location", "etag", "cache-control")
            ]
            done = structs.replace(kept, status=response.status_code, headers=headers, body=body)
            await table.put(row_key, _encode(done))
            answered = True
        return response
    finally:
        if not answered:
            with trio.CancelScope(shield=True):
                await table.delete(row_key)


async def _prune(table: Table, now: float) -> None:
    if now - _pruned_at.get(id(table), 0.0) < PRUNE_S:
        return
    _pruned_at[id(table)] = now
    after = ""
    while rows := await table.scan(ROWS, after=after):
        after = rows[-1].key
        for row in rows:
            kept = _read(row)
            if (kept is None or now - kept.at >= KEEP_S) and row.key not in _running:
                await table.delete(row.key, sync=False)


def _read(row: Row) -> Kept | None:
    try:
        return _decode(row.value)
    except msgspec.DecodeError:
        return None


def _digest(route: str, request: Request, content: bytes) -> str:
    told = f"{route}\0{request.url.path}\0{request.url.query}\0".encode()
    return sha256(told + content).hexdigest()
