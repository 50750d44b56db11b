"""Lend slots of a pool for as long as a block is open."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random

import trio
from msgspec import Struct

from mnedge.errors import UnavailableError
from mnedge.execution.pools import RETRY_AFTER_MS, Pools, PoolStats, Ticket
from mnedge.execution.refusal import RefusedError
from mnedge.execution.telling import TellEvent


class Lease(Struct, frozen=True, kw_only=True):
    """Slots that are held; encodes to the `lease` member of results.

    Units: milliseconds of trio's clock, as the wire has them.
    """

    lease_id: str
    pool: str
    slots: int
    queue_wait_ms: int
    requested_at_ms: int
    acquired_at_ms: int
    metadata: dict[str, str]


class NodeStoppingError(UnavailableError):
    """The node takes no new work: what waited for slots starts with its next owner."""

    code = "node.stopping"


class Leases:
    """Waits for slots, and gives them back whatever happens to the holder."""

    def __init__(self, capacities: Mapping[str, int], random: Random) -> None:
        self._pools = Pools(capacities)
        self._random = random
        self._waiting: dict[Ticket, trio.Event] = {}
        self._closed = False

    @asynccontextmanager
    async def lease(
        self,
        pool: str,
        slots: int,
        metadata: dict[str, str],
        tell: TellEvent,
        *,
        timeout_s: float | None = None,
        max_queue_length: int | None = None,
    ) -> AsyncIterator[Lease]:
        """Hold the slots while the block is open.

        Raises: RefusedError if they cannot be had, ever or within `timeout_s`; NodeStoppingError.
        """
        self._still_lending()
        requested_at = trio.current_time()
        tell("executor_lease_requested", {"pool": pool, "slots": slots})
        try:
            ticket = self._pools.request(pool, slots, max_queue_length=max_queue_length)
        except RefusedError as refused:
            reason = refused.error.get("reason", refused.error["error"])
            rest = {key: value for key, value in refused.error.items() if key != "error"}
            tell("executor_lease_rejected", {**rest, "reason": reason})
            raise
        try:
            await self._granted(ticket, requested_at, timeout_s, tell)
            lease = self._lease(ticket, metadata, requested_at)
            named = {"lease_id": lease.lease_id, "pool": pool, "slots": slots}
            tell("executor_lease_acquired", {**named, "queue_wait_ms": lease.queue_wait_ms})
            try:
                yield lease
            finally:
                tell("executor_lease_released", named)
        finally:
            for granted in self._pools.release(ticket):
                if granted in self._waiting:
                    self._waiting.pop(granted).set()

    def close(self) -> None:
        """Lend nothing any more: whoever waits for slots is sent away; leases held stay."""
        self._closed = True
        for waits in self._waiting.values():
            waits.set()

    def _still_lending(self) -> None:
        if self._closed:
            raise NodeStoppingError("the node stops and lends no slots any more")

    def stats(self) -> dict[str, PoolStats]:
        """Return how full each pool is."""
        return self._pools.stats()

    async def _granted(
        self, ticket: Ticket, requested_at: float, timeout_s: float | None, tell: TellEvent
    ) -> None:
        if ticket.granted:
            return
        event = self._waiting[ticket] = trio.Event()
        try:
            with trio.move_on_after(timeout_s if timeout_s is not None else float("inf")):
                await event.wait()
        finally:
            self._waiting.pop(ticket, None)
        self._still_lending()
        if ticket.granted:
            return
        waited = {
            "reason": "executor_pool_queue_timeout",
            "pool": ticket.pool,
            "slots": ticket.slots,
            "queue_wait_ms": _ms(trio.current_time() - requested_at),
            "timeout_ms": _ms(timeout_s or 0.0),
            "retry_after_ms": RETRY_AFTER_MS,
        }
        tell("executor_lease_rejected", waited)
        raise RefusedError(f'no slot of executor pool "{ticket.pool}" came free in time', **waited)

    def _lease(self, ticket: Ticket, metadata: dict[str, str], requested_at: float) -> Lease:
        now = trio.current_time()
        return Lease(
            lease_id=urlsafe_b64encode(self._random.randbytes(8)).rstrip(b"=").decode(),
            pool=ticket.pool,
            slots=ticket.slots,
            queue_wait_ms=_ms(now - requested_at),
            requested_at_ms=_ms(requested_at),
            acquired_at_ms=_ms(now),
            metadata=metadata,
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
