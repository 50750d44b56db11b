"""The line to a daemon: requests, what its refusals mean, streams that survive its restarts."""

import ssl
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import trio

from mnedge.cli.sse import Frame, Parser
from mnedge.errors import (
    ConflictError,
    MnedgeError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
    UsageError,
)

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its own program: 0.07 s
import httpx  # noqa: E402

BASE = "/api/v1"
TIMEOUT_S = 30.0
CONNECT_S = 5.0
AWAY_S = 120.0
"""So long a stream waits for a daemon that went away."""
AGAIN_S = 0.3
SILENT_S = 45.0
"""A stream that says nothing for so long, no heartbeat either, is broken."""
_FAMILIES: dict[int, type[MnedgeError]] = {
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    409: ConflictError,
    503: UnavailableError,
}


# Who leaves in the middle of a stream leaves generators inside httpx that nobody outside can close.
warnings.filterwarnings("ignore", r"Async generator 'http(x|core)\.", ResourceWarning)


class DaemonAwayError(UnavailableError):
    """The daemon cannot be reached, or went away in the middle."""

    code = "daemon.away"


class DaemonStrangeError(UnavailableError):
    """Who answers is no daemon of ours, or one of another age."""

    code = "daemon.strange"


class FingerprintError(NotAllowedError):
    """The node shows another certificate than the one that was pinned."""

    code = "context.fingerprint"


class Link:
    """Requests to one daemon."""

    def __init__(self, client: httpx.AsyncClient, where: str) -> None:
        self.client = client
        self.where = where
        """What people call the other end."""
        self.on_change: Callable[[bool], None] = lambda _: None
        """Told when a stream loses the daemon (False), and when it is back (True)."""

    async def get(self, path: str, **params: Any) -> Any:
        """Return what the daemon says. Raises: what it refuses with, as the error it is."""
        return await self._asked("GET", path, params=_kept(params))

    async def post(self, path: str, body: Any = None, *, wait_s: float = 0, **params: Any) -> Any:
        """Ask for something; `wait_s`: how much longer than usual the answer may take."""
        timeout = httpx.Timeout(TIMEOUT_S + wait_s, connect=CONNECT_S)
        content = msgspec.json.encode({} if body is None else body)
        headers = {"content-type": "application/json"}
        return await self._asked(
            "POST", path, params=_kept(params), content=content, headers=headers, timeout=timeout
        )

    async def delete(self, path: str, **params: Any) -> Any:
        """Have something removed."""
        return await self._asked("DELETE", path, params=_kept(params))

    async def every(self, path: str, *, limit: int | None = None, **params: Any) -> list[Any]:
        """Return all pages of a list, or its first `limit` members."""
        found: list[Any] = []
        cursor: str | None = None
        while limit is None or len(found) < limit:
            most = 500 if limit is None else min(500, limit - len(found))
            page = await self.get(path, limit=most, cursor=cursor, **params)
            found += page["data"]
            cursor = page.get("next")
            if not cursor:
                break
        return found[:limit]

    async def download(self, path: str, write: Callable[[bytes], object]) -> None:
        """Hand over a file, piece by piece."""
        try:
            async with self.client.stream("GET", BASE + path) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise told(response, self.where)
                async for piece in response.aiter_bytes():
                    write(piece)
        except httpx.TransportError as error:
            raise self._away(error) from error

    async def stream(
        self, path: str, after: str, take: Callable[[list[Frame]], object], **params: Any
    ) -> None:
        """Hand over the events of a stream behind a mark until the daemon ends it.

        A daemon that goes away is waited for; what it told is not told again, and nothing is left
        out. Raises: DaemonAwayError if it stays away.
        """
        mark, lost_at = after, None
        while True:
            try:
                mark, over = await self._read(path, mark, take, lost_at is not None, params)
                if over:
                    return
                lost_at = None
            except httpx.TransportError as error:
                if lost_at is None:
                    lost_at = trio.current_time()
                    self.on_change(False)
                elif trio.current_time() - lost_at > AWAY_S:
                    raise self._away(error) from error
                mark = getattr(error, "mark", mark)
                await trio.sleep(AGAIN_S)

    async def _read(
        self,
        path: str,
        mark: str,
        take: Callable[[list[Frame]], object],
        was_away: bool,
        params: Mapping[str, Any],
    ) -> tuple[str, bool]:
        """Read one connection; return the last mark, and whether that is the end."""
        headers = {"accept": "text/event-stream", "last-event-id": mark}
        timeout = httpx.Timeout(CONNECT_S, read=SILENT_S)
        parser = Parser(mark)
        over = False
        try:
            async with self.client.stream(
                "GET", BASE + path, params=_kept(params), headers=headers, timeout=timeout
            ) as response:
                if response.status_code != 200:
                    await response.aread()
                    if response.status_code == 503:
                        raise httpx.ConnectError("the daemon is not ready")
                    raise told(response, self.where)
                if was_away:
                    self.on_change(True)
                async for piece in response.aiter_bytes():
                    frames = parser.feed(piece)
                    whole = [one for one in frames if one.event not in ("end", "lagged", "gap")]
                    if whole:
                        take(whole)
                        mark = whole[-1].mark
                    over = over or any(one.event == "end" for one in frames)
        except httpx.TransportError as error:
            error.mark = mark  # type: ignore[attr-defined]
            raise
        if not over:
            await trio.sleep(AGAIN_S)  # it was cut, or its reader was too slow
        return mark, over

    async def _asked(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = await self.client.request(method, BASE + path, **more)
        except httpx.TransportError as error:
            raise self._away(error) from error
        if not response.is_success:
            raise told(response, self.where)
        if response.status_code == 204 or not response.content:
            return {}
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError as error:
            raise DaemonStrangeError(
                f"{self.where} answers what no daemon says",
                hint="is that address mnedge's? `mnedge context list` shows yours",
            ) from error

    def _away(self, error: Exception) -> MnedgeError:
        said = _reason(error)
        if "certificate" in said.lower():
            return DaemonAwayError(
                f"{self.where} is not trusted: {said}",
                hint="mnedge context add NAME URL --ca FILE or --fingerprint SHA256",
            )
        return DaemonAwayError(
            f"{self.where} cannot be reached: {said}",
            hint="is it running there? `mnedge daemon` starts one",
        )


def _reason(error: BaseException) -> str:
    """Return the first of the reasons behind an error that says something."""
    told: BaseException | None = error
    while told is not None:
        if isinstance(told, ssl.SSLCertVerificationError):
            return f"its certificate: {told.verify_message}"
        if str(told) and not isinstance(told, ExceptionGroup):
            return str(told)
        inner = told.exceptions[0] if isinstance(told, ExceptionGroup) else None
        told = inner or told.__cause__ or told.__context__
    return type(error).__name__


def told(response: httpx.Response, where: str) -> MnedgeError:
    """Return what a refusal says, as the error that it would be here."""
    try:
        problem = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        problem = None
    if not isinstance(problem, dict) or "code" not in problem:
        return DaemonStrangeError(
            f"{where} answers {response.status_code} {response.reason_phrase}",
            hint="is that address mnedge's? `mnedge context list` shows yours",
        )
    status = int(problem.get("status") or response.status_code)
    message, hint = str(problem.get("detail") or ""), str(problem.get("hint") or "")
    details = problem.get("details")
    details = details if isinstance(details, dict) else {}
    family = _family(status)
    if issubclass(family, OverloadedError):
        after = response.headers.get("retry-after", "1")
        after_s = float(after) if after.replace(".", "", 1).isdecimal() else 1.0
        error: MnedgeError = family(message, retry_after_s=after_s, hint=hint, details=details)
    else:
        error = family(message, hint=hint, details=details)
    error.__dict__["code"] = str(problem["code"])  # of the class that it is an instance of there
    return error


def _family(status: int) -> type[MnedgeError]:
    """Return what a status stands for."""
    if status == 429:
        return OverloadedError
    if status >= 500:
        return _FAMILIES.get(status, MnedgeError)
    return _FAMILIES.get(status, UsageError)


def _kept(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that say something."""
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in params.items()
        if value is not None and value not in ("", ())
    }


@asynccontextmanager
async def over_socket(path: Path) -> AsyncIterator[Link]:
    """Have a line to the daemon of this machine."""
    from mnedge.node_socket import address_of

    with address_of(path) as address:
        async with _client(httpx.AsyncHTTPTransport(uds=address), "http://mnedge", "") as client:
            yield Link(client, "the daemon of this machine")


@asynccontextmanager
async def over_tcp(
    url: str, token: str, *, name: str = "", ca: Path | None = None, fingerprint: str = ""
) -> AsyncIterator[Link]:
    """Have a line to a node by its address.

    `ca`: who may have signed its certificate; `fingerprint`: the SHA-256 of the one it must show.
    Raises: FingerprintError, DaemonAwayError.
    """
    async with AsyncExitStack() as stack:
        verify: ssl.SSLContext | bool = True
        if url.startswith("https:"):
            verify = _trusting(ca) if not fingerprint else await _pinned(url, fingerprint)
        transport = httpx.AsyncHTTPTransport(verify=verify)
        client = await stack.enter_async_context(_client(transport, url.rstrip("/"), token))
        yield Link(client, name or url)


def _client(transport: httpx.AsyncHTTPTransport, url: str, token: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(
        transport=transport,
        base_url=url,
        headers=headers,
        timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
        trust_env=False,
    )


def _trusting(ca: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=None if ca is None else str(ca))


async def _pinned(url: str, fingerprint: str) -> ssl.SSLContext:
    """Return what trusts exactly the certificate with this fingerprint."""
    address = httpx.URL(url)

    def shown() -> bytes:
        pem = ssl.get_server_certificate((address.host, address.port or 443), timeout=CONNECT_S)
        return ssl.PEM_cert_to_DER_cert(pem)

    try:
        certificate = await trio.to_thread.run_sync(shown)
    except OSError as error:
        raise DaemonAwayError(f"{url} cannot be reached: {error}") from error
    wanted = fingerprint.lower().removeprefix("sha256:").replace(":", "")
    found = sha256(certificate).hexdigest()
    if found != wanted:
        raise FingerprintError(
            f"{url} shows another certificate than the one that was pinned",
            hint="if the node was set up anew, ask who runs it; then `mnedge context add` again",
            details={"expected": wanted, "found": found},
        )
    context = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(certificate))
    context.check_hostname = False  # it is this certificate, whatever name it bears
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
