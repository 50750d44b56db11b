"""Whether the Context Engine answers, asked before a job that needs it is scheduled."""

import os
from collections.abc import Mapping

from mnedge.errors import UnavailableError
from mnedge.model.manifest import JobSpec

VARIABLE = "CONTEXT_ENGINE_ADDR"
DEFAULT = "localhost:50052"
TIMEOUT_S = 2.0
_DEFAULT_PORT = 50052


class ContextEngineUnavailableError(UnavailableError):
    """A job needs the Context Engine, and nothing answers at its address."""

    code = "context_engine.unavailable"


async def check_context_engine(
    spec: JobSpec, environ: Mapping[str, str] | None = None, *, timeout_s: float = TIMEOUT_S
) -> None:
    """Return if the job does not need the Context Engine, or a TCP connection to it succeeds.

    Raises: ContextEngineUnavailableError.
    """
    if not spec.required_context_engine:
        return
    import trio  # only here: validating a bundle must start fast and needs no trio

    address = (os.environ if environ is None else environ).get(VARIABLE) or DEFAULT
    host, port = host_and_port(address)
    reason = f"no answer within {timeout_s:g} s"
    try:
        with trio.move_on_after(timeout_s):
            async with await trio.open_tcp_stream(host, port):
                return
    except OSError as error:
        reason = _why(error)
    except ValueError as error:
        reason = str(error)
    raise ContextEngineUnavailableError(
        f"{spec.job_name} needs the Context Engine, which is not reachable at {address}: {reason}",
        hint=f"start the Context Engine, or set {VARIABLE} to its host:port",
        details={"address": address},
    )


def _why(error: OSError) -> str:
    """Return what was wrong with the last address that was tried."""
    found: BaseException = error.__cause__ or error
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[-1]
    said = found.strerror if isinstance(found, OSError) else None
    return (said or str(found)).lower()


def host_and_port(address: str) -> tuple[str, int]:
    """Return the two parts of `host:port`, `[v6]:port`, or a bare host; a scheme is left out.

    Port 0 stands for one that cannot be read.
    """
    rest = address.strip().rpartition("://")[2].rstrip("/")
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") > 1:
        host, port = rest, ""
    else:
        host, _, port = rest.partition(":")
    if not port:
        return host, _DEFAULT_PORT
    number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
    return host, number if number <= 65535 else 0
