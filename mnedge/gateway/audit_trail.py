"""Every change is written down: `async with audited(request, "job.cancel", f"job/{job_id}")`.

Before the block: refused if nothing can be written down. After it: `allow`, or `error` with why.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from mnedge.errors import MnedgeError, NotAllowedError
from mnedge.gateway.auth import principal_of, scope_of
from mnedge.gateway.connection import Scope
from mnedge.identity.audit import AuditDelayedError, AuditLog, AuditUnavailableError
from mnedge.model.access import Principal

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection


class Trail(Struct):
    """What the record will say; a route may name the object when it knows it."""

    action: str
    object: str
    reason: str = ""


@asynccontextmanager
async def audited(
    request: "HTTPConnection | Scope",
    action: str,
    object: str,  # noqa: A002
    reason: str = "",
) -> AsyncIterator[Trail]:
    """Have what the block does written down, with who asked and how it ended.

    `action`: `noun.verb`; `object`: `noun/id`. `request`: a Starlette request, or an ASGI scope.
    Raises: AuditUnavailableError before anything is done; AuditDelayedError if it was done but the
    record waits for the disk.
    """
    scope = scope_of(request)
    log, actor = log_of(scope), principal_of(scope)
    request_id = str(scope.get("state", {}).get("request_id", ""))
    log.refuse_unless_writable()
    trail = Trail(action, object, reason)
    try:
        yield trail
    except NotAllowedError as error:
        scope["state"]["denial_written"] = True
        await _failed(log, actor, trail, "deny", error.message, request_id)
        raise
    except MnedgeError as error:
        await _failed(log, actor, trail, "error", f"{error.code}: {error.message}", request_id)
        raise
    except trio.Cancelled:
        await _failed(log, actor, trail, "error", "the caller hung up meanwhile", request_id)
        raise
    except BaseException as error:
        await _failed(log, actor, trail, "error", type(error).__name__, request_id)
        raise
    await log.record(actor, trail.action, trail.object, "allow", trail.reason, request_id)


async def _failed(
    log: AuditLog, actor: Principal, trail: Trail, result: str, reason: str, request_id: str
) -> None:
    """Write down what did not come to its end; the one who asked hears of that, not of us."""
    with suppress(AuditDelayedError, AuditUnavailableError):
        await log.record(actor, trail.action, trail.object, result, reason, request_id)


def log_of(scope: Scope) -> AuditLog:
    """Return the audit log that the gateway put into the request.

    Raises: LookupError if there is none.
    """
    found = scope.get("state", {}).get("audit")
    if isinstance(found, AuditLog):
        return found
    app = scope.get("app")
    backend = getattr(getattr(app, "state", None), "backend", None)
    found = getattr(backend, "audit", None)
    if isinstance(found, AuditLog):
        return found
    raise LookupError("the request carries no audit log")
