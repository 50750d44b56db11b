"""How much one adapter takes at once and per second; who is over it waits, or is refused."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from mnedge.config.settings import AdapterLimits
from mnedge.gateway.llm.refusals import BusyError

MOST_CALLERS = 10_000
MINUTE_S = 60.0


class Allowance:
    """A token bucket: `rate` a second, `burst` at once. Pure."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def waits_s(self, amount: float, now: float) -> float:
        """Return the seconds until the amount is there; what was spent too much is paid first."""
        self._fill(now)
        return max(min(amount, self._burst) - self._left, 0.0) / self._rate

    def spend(self, amount: float, now: float) -> None:
        """Take the amount, whether or not it is there."""
        self._fill(now)
        self._left -= amount

    def _fill(self, now: float) -> None:
        self._left = min(self._burst, self._left + max(now - self._at, 0.0) * self._rate)
        self._at = now


class Capacity:
    """The places of one adapter; each caller has a rate of his own."""

    def __init__(
        self, name: str, limits: AdapterLimits, clock: Callable[[], float] = trio.current_time
    ) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._places = trio.CapacityLimiter(max(limits.concurrency, 1))
        self._rates: OrderedDict[str, Allowance] = OrderedDict()
        self._tokens: OrderedDict[str, Allowance] = OrderedDict()

    @property
    def busy(self) -> int:
        """Requests under way."""
        return int(self._places.borrowed_tokens)

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """Have one of the adapter's places while the block is open.

        Raises: BusyError if the caller's rate or tokens are used up, or no place gets free in time.
        """
        self._admit(caller)
        waiting = self._places.statistics().tasks_waiting
        if self._places.available_tokens <= 0 and waiting >= self._limits.queue:
            raise self._busy("its queue is full", self._limits.queue_timeout)
        mine = object()
        with trio.move_on_after(self._limits.queue_timeout) as scope:
            await self._places.acquire_on_behalf_of(mine)
        if scope.cancelled_caught:
            raise self._busy("no place got free in time", self._limits.queue_timeout)
        try:
            yield
        finally:
            self._places.release_on_behalf_of(mine)

    def spend(self, caller: str, tokens: int) -> None:
        """Count the tokens that an answer came to."""
        allowance = self._tokens_of(caller)
        if allowance is not None:
            allowance.spend(tokens, self._clock())

    def _admit(self, caller: str) -> None:
        now = self._clock()
        if self._limits.rps:
            rate = self._kept(self._rates, caller, self._limits.rps, float(self._limits.burst))
            if wait_s := rate.waits_s(1, now):
                raise self._busy("too many requests", wait_s)
            rate.spend(1, now)
        allowance = self._tokens_of(caller)
        if allowance is not None and (wait_s := allowance.waits_s(1, now)):
            raise self._busy("too many tokens", wait_s)

    def _tokens_of(self, caller: str) -> Allowance | None:
        most = self._limits.tokens_per_minute
        return self._kept(self._tokens, caller, most / MINUTE_S, float(most)) if most else None

    def _kept(
        self, table: OrderedDict[str, Allowance], caller: str, rate: float, burst: float
    ) -> Allowance:
        found = table.get(caller)
        if found is None:
            found = table[caller] = Allowance(rate, burst, self._clock())
            if len(table) > MOST_CALLERS:
                table.popitem(last=False)
        table.move_to_end(caller)
        return found

    def _busy(self, why: str, wait_s: float) -> BusyError:
        return BusyError(f"adapter {self._name} is busy: {why}", retry_after_s=wait_s)
