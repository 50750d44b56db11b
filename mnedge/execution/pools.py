"""Slots of execution pools, and devices: who gets them, who waits, who is refused. Pure.

Waiting is strictly first come, first served: nobody overtakes a large request that waits for room,
so it gets its room as the others end. Slots and devices are granted together, in one step, so that
nobody holds the one while waiting for the other. Who waits for devices that are lent lets others
have slots meanwhile, but no device that might serve him; once his devices are there, he is in line
for slots like everybody else.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from mnedge.execution.refusal import RefusedError
from mnedge.model.assignment import Rooms, why_not
from mnedge.model.resources import Device, DeviceAsk, missing

DEFAULT_POOL = "default"
DEFAULT_SLOTS = 4
RETRY_AFTER_MS = 250


class Ticket(Struct, eq=False):
    """One request for slots and devices: it waits until it is granted, or refused."""

    pool: str
    slots: int
    asks: tuple[DeviceAsk, ...] = ()
    order: int = 0
    granted: bool = False
    devices: tuple[Device, ...] = ()
    """What it was lent."""
    refused: str = ""
    """Why it will never be granted: its devices are not there any more."""


class PoolStats(Struct, frozen=True):
    """How full a pool is; `queued` and `active` count requests."""

    capacity: int
    in_use: int
    available: int
    queued: int
    active: int


class Moved(Struct, frozen=True):
    """What other devices change for those who wait, and for those who hold."""

    settled: list[Ticket]
    """Granted, or refused for good."""
    lost: list[Ticket]
    """Holders of a device that is gone."""


class _Pool(Struct):
    capacity: int
    in_use: int
    active: int
    queue: deque[Ticket]
    asking: int = 0
    """Requests that wait and ask for devices too."""

    @property
    def free(self) -> int:
        return self.capacity - self.in_use


class Pools:
    """All pools of a node, and its devices."""

    def __init__(self, capacities: Mapping[str, int], devices: Sequence[Device] = ()) -> None:
        self._pools = {name: _Pool(slots, 0, 0, deque()) for name, slots in capacities.items()}
        self._devices = tuple(devices)
        self._used: dict[str, int] = {}
        self._asking: list[Ticket] = []
        self._holding: dict[int, Ticket] = {}
        self._order = 0

    def request(
        self,
        pool: str,
        slots: int,
        *,
        asks: Sequence[DeviceAsk] = (),
        max_queue_length: int | None = None,
    ) -> Ticket:
        """Return a ticket: granted at once if nobody waits and it fits, else at the queue's end.

        Raises: RefusedError if it can never be granted, or the queue is full.
        """
        here = self._pools.get(pool)
        if here is None:
            raise RefusedError(f'unknown executor pool "{pool}"', pool=pool, slots=slots)
        if type(slots) is not int or slots < 1:
            raise RefusedError("executor slots must be a positive integer", pool=pool, slots=slots)
        if slots > here.capacity:
            raise RefusedError(
                f"requested {slots} executor slots but pool capacity is {here.capacity}",
                pool=pool,
                slots=slots,
            )
        why = why_not(asks, self._devices) if asks else ""
        if why:
            raise RefusedError(
                f"no such device can be lent: {why}", **device_refusal(pool, slots, why)
            )
        self._order += 1
        ticket = Ticket(pool, slots, tuple(asks), self._order)
        if not asks and not here.queue and not here.asking and slots <= here.free:
            self._grant(here, ticket)
            return ticket
        if asks:
            self._asking.append(ticket)
            here.asking += 1
        else:
            here.queue.append(ticket)
        self._drain()
        if not ticket.granted and max_queue_length is not None:
            self._bounded(here, ticket, max_queue_length)
        return ticket

    def release(self, ticket: Ticket) -> list[Ticket]:
        """Give everything back, or leave the queue; return the tickets that are granted by it."""
        here = self._pools[ticket.pool]
        if ticket.granted:
            ticket.granted = False
            here.in_use -= ticket.slots
            here.active -= 1
            for device in ticket.devices:
                self._used[device.id] -= 1
                if not self._used[device.id]:
                    del self._used[device.id]
            self._holding.pop(ticket.order, None)
        else:
            self._leave(here, ticket)
        return self._drain()

    def have(self, devices: Sequence[Device], gone: frozenset[str] = frozenset()) -> Moved:
        """Have these devices from now on; return whom that concerns.

        `gone`: ids of devices that were lost; those who hold one have lost it.
        """
        self._devices = tuple(devices)
        refused = []
        for ticket in list(self._asking):
            ticket.refused = why_not(ticket.asks, self._devices)
            if ticket.refused:
                self._leave(self._pools[ticket.pool], ticket)
                refused.append(ticket)
        lost = [
            ticket
            for ticket in self._holding.values()
            if any(device.id in gone for device in ticket.devices)
        ]
        return Moved([*refused, *self._drain()], lost)

    def lent(self) -> dict[str, int]:
        """Return device id → how many hold it."""
        return dict(self._used)

    def stats(self) -> dict[str, PoolStats]:
        """Return how full each pool is."""
        return {
            name: PoolStats(
                capacity=pool.capacity,
                in_use=pool.in_use,
                available=pool.free,
                queued=len(pool.queue) + pool.asking,
                active=pool.active,
            )
            for name, pool in self._pools.items()
        }

    def _bounded(self, here: _Pool, ticket: Ticket, max_queue_length: int) -> None:
        """Take back a request that has more before it than it allows."""
        queued = len(here.queue) + here.asking - 1
        if queued < max_queue_length:
            return
        self._leave(here, ticket)
        raise RefusedError(
            f'queue of executor pool "{ticket.pool}" is full',
            reason="executor_pool_queue_full",
            pool=ticket.pool,
            slots=ticket.slots,
            queued=queued,
            max_queue_length=max_queue_length,
            retry_after_ms=RETRY_AFTER_MS,
        )

    def _leave(self, here: _Pool, ticket: Ticket) -> None:
        if ticket in self._asking:
            self._asking.remove(ticket)
            here.asking -= 1
        elif ticket in here.queue:
            here.queue.remove(ticket)

    def _drain(self) -> list[Ticket]:
        """Grant what can be granted, the oldest first."""
        granted: list[Ticket] = []
        barriers: dict[str, int] = {}
        if self._asking:
            self._drain_asking(granted, barriers)
        for name, pool in self._pools.items():
            self._drain_plain(pool, barriers.get(name), granted)
        return granted

    def _drain_asking(self, granted: list[Ticket], barriers: dict[str, int]) -> None:
        """Grant those who ask for devices.

        `barriers`: gets pool → order of the oldest who has his devices and waits for slots.
        """
        promised = dict(self._used)
        hopeless: set[tuple[DeviceAsk, ...]] = set()
        rooms = Rooms(self._devices, promised)
        for ticket in list(self._asking):
            if ticket.asks in hopeless:
                continue
            here = self._pools[ticket.pool]
            devices = rooms.assign(ticket.asks)
            if devices is None:
                hopeless.add(ticket.asks)
                devices = tuple(
                    device
                    for device in self._devices
                    if any(not missing(ask, device) for ask in ticket.asks)
                )
            else:
                barrier = barriers.get(ticket.pool, ticket.order)
                self._drain_plain(here, min(barrier, ticket.order), granted)
                waits = bool(here.queue) and here.queue[0].order < ticket.order
                if waits or ticket.pool in barriers or ticket.slots > here.free:
                    barriers.setdefault(ticket.pool, ticket.order)
                else:
                    self._asking.remove(ticket)
                    here.asking -= 1
                    ticket.devices = devices
                    self._grant(here, ticket)
                    granted.append(ticket)
            for device in devices:
                promised[device.id] = promised.get(device.id, 0) + 1
            rooms = Rooms(self._devices, promised)

    def _drain_plain(self, here: _Pool, before: int | None, granted: list[Ticket]) -> None:
        while here.queue and here.queue[0].slots <= here.free:
            if before is not None and here.queue[0].order > before:
                return
            ticket = here.queue.popleft()
            self._grant(here, ticket)
            granted.append(ticket)

    def _grant(self, here: _Pool, ticket: Ticket) -> None:
        ticket.granted = True
        here.in_use += ticket.slots
        here.active += 1
        for device in ticket.devices:
            self._used[device.id] = self._used.get(device.id, 0) + 1
        if ticket.devices:
            self._holding[ticket.order] = ticket


def device_refusal(pool: str, slots: int, why: str) -> dict[str, Any]:
    """Return the members of an error about devices that cannot be had."""
    return {
        "code": "device.unavailable",
        "reason": "device_unavailable",
        "pool": pool,
        "slots": slots,
        "device": why,
    }


def read_capacities(environ: Mapping[str, str]) -> tuple[dict[str, int], list[str]]:
    """Return pool → slots as the environment sets them, and what could not be understood.

    `MN_EXECUTOR_MAX_CONCURRENCY=4`, `MN_EXECUTOR_POOL_CAPACITIES=default=4,gpu=1`; the older prefix
    `MIRROR_NEURON_` is read where the newer one is absent. A malformed entry changes nothing.
    """
    problems: list[str] = []
    capacities = {DEFAULT_POOL: DEFAULT_SLOTS}
    name, text = _setting(environ, "EXECUTOR_MAX_CONCURRENCY")
    if text:
        slots = _positive(text)
        if slots is None:
            problems.append(
                f"{name}: {text!r} is no positive whole number; it stays {DEFAULT_SLOTS}"
            )
        else:
            capacities[DEFAULT_POOL] = slots
    name, text = _setting(environ, "EXECUTOR_POOL_CAPACITIES")
    for entry in filter(None, (part.strip() for part in text.split(","))):
        pool, equals, number = (part.strip() for part in entry.partition("="))
        slots = _positive(number)
        if not pool or not equals or slots is None:
            problems.append(f"{name}: {entry!r} is not pool=slots with a positive whole number")
        else:
            capacities[pool] = slots
    return capacities, problems


def _setting(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    for prefix in ("MN_", "MIRROR_NEURON_"):
        if text := environ.get(prefix + name, "").strip():
            return prefix + name, text
    return "MN_" + name, ""


def _positive(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 31 else None
