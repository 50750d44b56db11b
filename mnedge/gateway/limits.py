"""How often somebody may ask: a token bucket for each caller, or for each address without one."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping

import trio
from msgspec import Struct

from mnedge.config.settings import RateLimit
from mnedge.errors import OverloadedError
from mnedge.gateway.auth import address_of, known
from mnedge.gateway.connection import App, Message, Receive, Scope, Send, connection_of

MOST_CALLERS = 100_000
_IPV6_PREFIX = 64


class TooOftenError(OverloadedError):
    """This caller asks more often than `relay.rateLimit` allows."""

    code = "relay.rate_limited"
    headers: Mapping[str, str] = {}
    """What the answer also says."""


class _Bucket(Struct):
    left: float
    at: float


class Taken(Struct, frozen=True):
    """How a caller stands after one request."""

    allowed: bool
    left: int
    retry_after_s: float


class Buckets:
    """A bucket for each key; the ones not used for longest are forgotten when there are too many.

    A forgotten bucket is a full one, so only a caller who was idle gains by it.
    """

    def __init__(self, most: int = MOST_CALLERS) -> None:
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, limit: RateLimit, now: float) -> Taken:
        """Take one request of that caller's allowance."""
        rate, burst = limit.requests_per_second, max(1, limit.burst)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(float(burst), now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
            bucket.left = min(burst, bucket.left + max(0.0, now - bucket.at) * rate)
            bucket.at = now
        if bucket.left >= 1:
            bucket.left -= 1
            return Taken(True, int(bucket.left), 0.0)
        return Taken(False, 0, (1 - bucket.left) / rate if rate > 0 else 3600.0)

    def __len__(self) -> int:
        return len(self._buckets)


class Limits:
    """Refuses who asks too often; says on every answer how much is left."""

    def __init__(
        self,
        app: App,
        settings: Callable[[], RateLimit],
        *,
        clock: Callable[[], float] = trio.current_time,
        on_refused: Callable[[str], None] = lambda _: None,
        buckets: Buckets | None = None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._clock = clock
        self._on_refused = on_refused
        self._buckets = Buckets() if buckets is None else buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, and go on.

        Raises: TooOftenError.
        """
        limit = self._settings()
        if scope["type"] != "http" or limit.requests_per_second <= 0:
            await self._app(scope, receive, send)
            return
        kind, key = caller_of(scope)
        if kind in limit.exempt:
            await self._app(scope, receive, send)
            return
        taken = self._buckets.take(key, limit, self._clock())
        if not taken.allowed:
            self._on_refused("address" if kind == "address" else "principal")
            raise _too_often(limit, taken)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_told(limit, taken)]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, sending)


def caller_of(scope: Scope) -> tuple[str, str]:
    """Return the kind of the caller and the key of its bucket."""
    principal = known(scope)
    if principal is not None:
        return principal.kind, f"{principal.kind}/{principal.name}"
    if connection_of(scope).local:
        return "unix", "unix"
    return "address", f"address/{_network(address_of(scope))}"


def _network(address: str) -> str:
    """Return the address as it is counted: one of IPv4, a /64 of IPv6."""
    try:
        one = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(one, ipaddress.IPv4Address):
        return address
    return str(ipaddress.ip_network((one, _IPV6_PREFIX), strict=False))


def _told(limit: RateLimit, taken: Taken) -> list[tuple[bytes, bytes]]:
    window_s = max(1, round(limit.burst / limit.requests_per_second))
    return [
        (b"ratelimit-policy", f'"default";q={limit.burst};w={window_s}'.encode()),
        (b"ratelimit", f'"default";r={taken.left}'.encode()),
    ]


def _too_often(limit: RateLimit, taken: Taken) -> TooOftenError:
    error = TooOftenError(
        f"more than {limit.requests_per_second:g} requests per second",
        retry_after_s=taken.retry_after_s,
        hint="ask less often; Retry-After says when the next one is taken",
    )
    error.headers = {k.decode(): v.decode() for k, v in _told(limit, taken)}
    return error
