"""Lend slots of a pool, and devices, for as long as a block is open."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio
from msgspec import Struct

from mnedge.errors import UnavailableError
from mnedge.execution.inventory import Changed
from mnedge.execution.pools import RETRY_AFTER_MS, Pools, PoolStats, Ticket, device_refusal
from mnedge.execution.refusal import RefusedError
from mnedge.execution.telling import TellEvent
from mnedge.model.resources import Device, DeviceAsk


class Lease(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Slots and devices that are held; encodes to the `lease` member of results.

    Units: milliseconds of trio's clock, as the wire has them.
    """

    lease_id: str
    pool: str
    slots: int
    queue_wait_ms: int
    requested_at_ms: int
    acquired_at_ms: int
    metadata: dict[str, str]
    devices: tuple[Device, ...] = ()


class NodeStoppingError(UnavailableError):
    """The node takes no new work: what waited for slots starts with its next owner."""

    code = "node.stopping"


class Leases:
    """Waits for slots and devices, and gives them back whatever happens to the holder."""

    def __init__(self, capacities: Mapping[str, int], random: Random) -> None:
        self._pools = Pools(capacities)
        self._random = random
        self._waiting: dict[Ticket, trio.Event] = {}
        self._holding: dict[Ticket, tuple[trio.CancelScope, TellEvent, dict[str, Any]]] = {}
        self._closed = False

    @asynccontextmanager
    async def lease(
        self,
        pool: str,
        slots: int,
        metadata: dict[str, str],
        tell: TellEvent,
        *,
        asks: Sequence[DeviceAsk] = (),
        timeout_s: float | None = None,
        max_queue_length: int | None = None,
    ) -> AsyncIterator[Lease]:
        """Hold the slots and devices while the block is open.

        The block is cancelled if a device is lost meanwhile. Raises: RefusedError if they cannot be
        had, ever or within `timeout_s`, or if one was lost; NodeStoppingError.
        """
        self._still_lending()
        requested_at = trio.current_time()
        wanted = {"devices": [str(ask) for ask in asks]} if asks else {}
        tell("executor_lease_requested", {"pool": pool, "slots": slots, **wanted})
        try:
            ticket = self._pools.request(pool, slots, asks=asks, max_queue_length=max_queue_length)
        except RefusedError as refused:
            reason = refused.error.get("reason", refused.error["error"])
            rest = {key: value for key, value in refused.error.items() if key != "error"}
            tell("executor_lease_rejected", {**rest, "reason": reason})
            raise
        try:
            await self._granted(ticket, requested_at, timeout_s, tell)
            lease = self._lease(ticket, metadata, requested_at)
            named: dict[str, Any] = {"lease_id": lease.lease_id, "pool": pool, "slots": slots}
            if ticket.devices:
                named["devices"] = [device.id for device in ticket.devices]
            tell("executor_lease_acquired", {**named, "queue_wait_ms": lease.queue_wait_ms})
            try:
                with trio.CancelScope() as holding:
                    self._holding[ticket] = (holding, tell, named)
                    yield lease
            finally:
                self._holding.pop(ticket, None)
                tell("executor_lease_released", named)
            if holding.cancelled_caught:
                text = f"a device was lost while it was lent: {', '.join(named['devices'])}"
                raise RefusedError(
                    text, code="device_lost", reason="device_lost", devices=named["devices"]
                )
        finally:
            self._wake(self._pools.release(ticket))

    def have(self, changed: Changed) -> None:
        """Have these devices from now on; whoever holds a lost one is told and stopped."""
        moved = self._pools.have(changed.devices, changed.gone)
        for ticket in moved.lost:
            if ticket in self._holding:
                scope, tell, named = self._holding[ticket]
                lost = [device.id for device in ticket.devices if device.id in changed.gone]
                tell("device_lost", {**named, "lost": lost})
                scope.cancel()
        self._wake(moved.settled)

    def lent(self) -> dict[str, int]:
        """Return device id → how many hold it."""
        return self._pools.lent()

    def _wake(self, settled: Sequence[Ticket]) -> None:
        for ticket in settled:
            if ticket in self._waiting:
                self._waiting.pop(ticket).set()

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
        if ticket.refused:
            gone = device_refusal(ticket.pool, ticket.slots, ticket.refused)
            tell("executor_lease_rejected", gone)
            raise RefusedError(f"no such device can be lent: {ticket.refused}", **gone)
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
            devices=ticket.devices,
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
