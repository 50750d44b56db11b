"""Slots of execution pools: who gets them, who waits, who is refused. Pure.

Waiting is strictly first come, first served: nobody overtakes a large request that waits for room,
so it gets its room as the others end.
"""

from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from mnedge.execution.refusal import RefusedError

DEFAULT_POOL = "default"
DEFAULT_SLOTS = 4
RETRY_AFTER_MS = 250


class Ticket(Struct, eq=False):
    """One request for slots: it waits until it is granted."""

    pool: str
    slots: int
    granted: bool = False


class PoolStats(Struct, frozen=True):
    """How full a pool is; `queued` and `active` count requests."""

    capacity: int
    in_use: int
    available: int
    queued: int
    active: int


class _Pool(Struct):
    capacity: int
    in_use: int
    active: int
    queue: deque[Ticket]


class Pools:
    """All pools of a node."""

    def __init__(self, capacities: Mapping[str, int]) -> None:
        self._pools = {name: _Pool(slots, 0, 0, deque()) for name, slots in capacities.items()}

    def request(self, pool: str, slots: int, *, max_queue_length: int | None = None) -> Ticket:
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
        ticket = Ticket(pool, slots)
        if here.queue or slots > here.capacity - here.in_use:
            self._enqueue(here, ticket, max_queue_length)
        else:
            self._grant(here, ticket)
        return ticket

    def release(self, ticket: Ticket) -> list[Ticket]:
        """Give the slots back, or leave the queue; return the tickets that are granted by it."""
        here = self._pools[ticket.pool]
        if ticket.granted:
            ticket.granted = False
            here.in_use -= ticket.slots
            here.active -= 1
        elif ticket in here.queue:
            here.queue.remove(ticket)
        return self._drain(here)

    def stats(self) -> dict[str, PoolStats]:
        """Return how full each pool is."""
        return {
            name: PoolStats(
                capacity=pool.capacity,
                in_use=pool.in_use,
                available=pool.capacity - pool.in_use,
                queued=len(pool.queue),
                active=pool.active,
            )
            for name, pool in self._pools.items()
        }

    def _enqueue(self, here: _Pool, ticket: Ticket, max_queue_length: int | None) -> None:
        if max_queue_length is not None and len(here.queue) >= max_queue_length:
            raise RefusedError(
                f'queue of executor pool "{ticket.pool}" is full',
                reason="executor_pool_queue_full",
                pool=ticket.pool,
                slots=ticket.slots,
                queued=len(here.queue),
                max_queue_length=max_queue_length,
                retry_after_ms=RETRY_AFTER_MS,
            )
        here.queue.append(ticket)

    def _drain(self, here: _Pool) -> list[Ticket]:
        granted: list[Ticket] = []
        while here.queue and here.queue[0].slots <= here.capacity - here.in_use:
            ticket = here.queue.popleft()
            self._grant(here, ticket)
            granted.append(ticket)
        return granted

    def _grant(self, here: _Pool, ticket: Ticket) -> None:
        ticket.granted = True
        here.in_use += ticket.slots
        here.active += 1


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
