"""One request to an upstream: our key instead of the caller's, retries, deadlines.

Nothing of the answer has been passed on while it is retried. Redirects are not followed, and
addresses that only a cloud's own machinery should ask are refused.
"""

import ipaddress
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from mnedge.config.settings import Adapter, SecretRef
from mnedge.gateway.llm.breaker import Breaker
from mnedge.gateway.llm.directory import Found, upstream_url
from mnedge.gateway.llm.refusals import (
    UpstreamAuthError,
    UpstreamOpenError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from mnedge.ports import Clock

if TYPE_CHECKING:
    import httpx

AGAIN = frozenset({429, 502, 503, 504})
"""Answers after which the same request may be asked again."""
FAILURES = frozenset({500, 502, 503, 504})
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
CONNECT_S = 5.0
PASSED_ON = ("accept", "content-type", "traceparent", "tracestate", "openai-beta", "user-agent")

_random = SystemRandom()


class Upstream:
    """An adapter's upstream. One for each adapter, for the life of the configuration.

    `secret`: returns the value that a reference stands for.
    """

    def __init__(
        self,
        adapter: Adapter,
        client: "httpx.AsyncClient",
        secret: Callable[[SecretRef], str],
        *,
        now: Clock,
        opened: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.adapter = adapter
        self.breaker = Breaker(adapter.breaker)
        self._client = client
        self._secret = secret
        self._now = now
        self._opened = opened

    @asynccontextmanager
    async def asked(
        self, found: Found, method: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator["httpx.Response"]:
        """Have the upstream's answer begun; its body is read inside the block.

        Raises: UpstreamOpenError, UpstreamTimeoutError, UpstreamUnavailableError,
        UpstreamAuthError. An answer that refuses is no error, but one after the last retry.
        """
        deadline = trio.current_time() + found.route.timeout
        for left in range(found.route.retries, -1, -1):
            try:
                response = await self._once(found, method, headers, body, deadline)
            except UpstreamUnavailableError:
                if not left or not await self._waited(_pause(found, left), deadline):
                    raise
                continue
            if response.status_code in AGAIN and left:
                pause_s = self._wanted_pause(response)
                await response.aclose()
                if await self._waited(
                    _pause(found, left) if pause_s is None else pause_s, deadline
                ):
                    continue
                raise UpstreamUnavailableError(
                    f"adapter {self.adapter.name} answers {response.status_code}",
                    hint="it asks to come back later than the route's timeout allows",
                )
            try:
                yield response
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                    await response.aclose()
            return

    async def _once(
        self,
        found: Found,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        deadline: float,
    ) -> "httpx.Response":
        import httpx

        waits_s = self.breaker.waits_s(trio.current_time())
        if waits_s:
            raise UpstreamOpenError(
                f"adapter {self.adapter.name} failed too often and is left alone for a while",
                retry_after_s=waits_s,
            )
        done = False
        try:
            url = upstream_url(self.adapter, found.path)
            await _refuse_machinery(url)
            request = self._client.build_request(
                method, url, headers=self._headers(headers), content=body
            )
            with trio.CancelScope(deadline=deadline) as scope:
                response = await self._client.send(request, stream=True)
            if scope.cancelled_caught:
                raise UpstreamTimeoutError(
                    f"adapter {self.adapter.name} has not answered in {found.route.timeout:g} s"
                )
            done = True
        except (httpx.TransportError, httpx.InvalidURL, OSError) as error:
            self.failed()
            done = True
            raise UpstreamUnavailableError(
                f"adapter {self.adapter.name} cannot be reached: {error or type(error).__name__}"
            ) from error
        except UpstreamTimeoutError:
            self.failed()
            done = True
            raise
        finally:
            if not done:
                self.breaker.gave_up()
        self._judge(response.status_code)
        if response.status_code in {401, 403}:
            await response.aclose()
            raise UpstreamAuthError(
                f"adapter {self.adapter.name} refuses our key ({response.status_code})",
                hint=f"check relay.adapters[{self.adapter.name}].auth",
            )
        return response

    def failed(self) -> None:
        """Count a failure against the upstream, also one in the middle of its answer."""
        if self.breaker.failed(trio.current_time()):
            self._opened(self.adapter.name)

    def _judge(self, status: int) -> None:
        if status in FAILURES:
            self.failed()
        else:
            self.breaker.succeeded()

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        headers = {name: given[name] for name in PASSED_ON if name in given}
        headers["accept-encoding"] = "identity"
        auth = self.adapter.auth
        if auth.secret_ref is not None:
            value = self._secret(auth.secret_ref)
            headers[auth.header] = f"{auth.scheme} {value}" if auth.scheme else value
        return headers

    def _wanted_pause(self, response: "httpx.Response") -> float | None:
        text = response.headers.get("retry-after", "")
        if text.isdecimal():
            return float(text)
        try:
            return max(parsedate_to_datetime(text).timestamp() - self._now(), 0.0)
        except ValueError:
            return None

    async def _waited(self, pause_s: float, deadline: float) -> bool:
        """Wait and return True, or return False at once if there is no time for it."""
        if trio.current_time() + pause_s >= deadline:
            return False
        await trio.sleep(pause_s)
        return True


def _pause(found: Found, left: int) -> float:
    """Return how long to wait before asking again: longer each time, never quite the same."""
    again = found.route.retries - left
    longest_s = min(FIRST_WAIT_S * 2**again, LONGEST_WAIT_S)
    return float(longest_s * _random.uniform(0.5, 1.0))


async def _refuse_machinery(url: str) -> None:
    """Refuse link-local addresses: a cloud's metadata service gives keys to whoever asks.

    Raises: UpstreamUnavailableError; OSError if the name has no address.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        addresses = {host: ipaddress.ip_address(host)}
    except ValueError:
        with trio.move_on_after(CONNECT_S) as scope:
            found = await trio.socket.getaddrinfo(host, parts.port or 443)
            addresses = {str(one[4][0]): _address(str(one[4][0])) for one in found}
        if scope.cancelled_caught:
            raise UpstreamUnavailableError(f"the name {host} is not resolved in time") from None
    for text, address in addresses.items():
        if address.is_link_local or text.lower().startswith("fd00:ec2"):
            raise UpstreamUnavailableError(f"{host} is at {text}, which no adapter may ask")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text.partition("%")[0])
