"""Work on many jobs at once, or on the node, that is followed while it goes on.

An operation is a row `operation/<id>`; what happens to its items are rows
`operation_event/<id>/<sequence>`, written once. Both outlive the daemon: an operation that was cut
goes on with the items that are left.
Source: client surface 1.3.
"""

from collections.abc import Awaitable, Callable, Mapping
from random import SystemRandom
from typing import Any

import msgspec
import trio
from msgspec import Struct, field
from msgspec.structs import replace

from mnedge.config.settings import Config
from mnedge.errors import (
    ConflictError,
    CorruptError,
    MnedgeError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from mnedge.gateway.eligibility import decide, eligibility
from mnedge.gateway.nodes import refuse_other_nodes
from mnedge.model.message import iso_ms
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.part import Part
from mnedge.ports import Clock
from mnedge.runtime import jobs
from mnedge.runtime.clearing import cancel, forget_job
from mnedge.runtime.host import Host

OPERATIONS = "operation/"
EVENTS = "operation_event/"
KEPT = 200
"""Operations that are remembered; the oldest finished ones go first."""
DRAIN_S = 1800.0
ENDED = frozenset({"completed", "completed_with_failures", "failed"})
_RETRY_S = 1.0
_random = SystemRandom()


class OperationNotFoundError(NotFoundError):
    """No operation has this id."""

    code = "operation.not_found"


class OperationUnknownError(UsageError):
    """There is no such kind of operation."""

    code = "operation.unknown"


class Counters(Struct, frozen=True, kw_only=True):
    """How far an operation has come, in items."""

    total: int = 0
    finished: int = 0
    succeeded: int = 0
    failed: int = 0
    deferred: int = 0


class Operation(Struct, frozen=True, kw_only=True):
    """One operation. Key `operation/<operation_id>`."""

    operation_id: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    status: str = "running"
    """`running`, `deferred` (what is left waits), or one of `ENDED`."""
    targets: list[str] = field(default_factory=list)
    """The ids of its items."""
    done: int = 0
    """So many of them are finished."""
    counters: Counters = Counters()
    events: int = 0
    by: str = ""
    started_at: float = 0.0
    updated_at: float = 0.0
    error: str = ""

    def shown(self) -> dict[str, Any]:
        """Return it as clients read it."""
        return {
            "operation_id": self.operation_id,
            "kind": self.kind,
            "status": self.status,
            "target_count": self.counters.total,
            "counters": msgspec.to_builtins(self.counters),
            "options": self.options,
            "started_by": self.by,
            "started_at": iso_ms(self.started_at),
            "updated_at": iso_ms(self.updated_at),
            **({"error": self.error} if self.error else {}),
        }


class Operations(Part):
    """Carries operations out, several at once."""

    def __init__(
        self, stores: jobs.Stores, settings: Callable[[], Config], host: Host, *, now: Clock
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._host = host
        self._now = now
        self._came = trio.Event()
        self._waiting: list[Operation] = []
        self._kinds: Mapping[str, Callable[[_Work], Awaitable[None]]] = {
            "cancel_all_jobs": self._cancel_all,
            "clear_jobs": self._clear,
            "drain_node": self._drain,
            "reconcile_node": self._reconcile,
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; what is not finished then goes on the next time."""
        self._waiting += [one for one in await self._every() if one.status not in ENDED]
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                for one in self._waiting:
                    nursery.start_soon(self._carry, one)
                self._waiting.clear()
                self._came = trio.Event()
                await self._came.wait()

    async def start(self, kind: str, options: Mapping[str, Any], *, by: str = "") -> Operation:
        """Begin an operation; return at once.

        Raises: OperationUnknownError, NodeNotFoundError.
        """
        if kind not in self._kinds:
            raise OperationUnknownError(
                f"there is no operation {kind[:80]!r}", hint=f"there is {', '.join(self._kinds)}"
            )
        if kind.endswith("_node"):
            refuse_other_nodes(str(options.get("node_name") or ""), self._settings())
        await self._tidy()
        at = self._now()
        one = Operation(
            operation_id=f"op-{int(at * 1000):013d}-{_random.getrandbits(40):010x}",
            kind=kind,
            options=dict(options),
            by=by,
            started_at=at,
            updated_at=at,
        )
        targets = await self._targets(kind)
        one = replace(one, targets=targets, counters=Counters(total=len(targets)))
        await self._stores.table.put(OPERATIONS + one.operation_id, _encode(one), if_version=0)
        self._waiting.append(one)
        self._came.set()
        return one

    async def get(self, operation_id: str) -> Operation:
        """Return the operation as it is now.

        Raises: OperationNotFoundError, CorruptError.
        """
        row = await self._stores.table.get(OPERATIONS + operation_id)
        if row is None:
            raise OperationNotFoundError(f"no operation is called {operation_id[:80]!r}")
        return _operation(row.value)

    async def events(self, operation_id: str, *, after: int = 0) -> list[dict[str, Any]]:
        """Return what happened to its items behind a sequence number.

        Raises: OperationNotFoundError.
        """
        await self.get(operation_id)
        prefix = _events_of(operation_id)
        found: list[dict[str, Any]] = []
        key = f"{prefix}{after:08d}" if after > 0 else ""
        while rows := await self._stores.table.scan(prefix, after=key):
            key = rows[-1].key
            found += [_decode_event(row.value) for row in rows]
        return found

    async def follow(
        self, operation_id: str, tell: Callable[[dict[str, Any]], Awaitable[None]], after: int = 0
    ) -> None:
        """Tell what happened, and what happens until the operation is over.

        Raises: OperationNotFoundError.
        """
        while True:
            ended = (await self.get(operation_id)).status in ENDED
            for event in await self.events(operation_id, after=after):
                after = int(event["sequence"])
                await tell(event)
            if ended:
                return
            await self._changed(operation_id, after)

    # ---- one operation ----

    async def _carry(self, one: Operation) -> None:
        work = _Work(self._stores, one, self._now)
        while True:
            try:
                await self._kinds[one.kind](work)
                counters = work.one.counters
                status = "completed_with_failures" if counters.failed else "completed"
                await work.ended(status)
                return
            except UnavailableError:
                await trio.sleep(_RETRY_S)  # the disk refuses: go on where it was left
            except MnedgeError as error:
                await work.ended("failed", error.message)
                return

    async def _cancel_all(self, work: "_Work") -> None:
        while (job_id := work.next()) is not None:
            try:
                status = await cancel(self._stores, self._host, job_id, now=self._now, by=work.by)
            except NotFoundError:
                await work.finished(job_id, "ignored")
            except MnedgeError as error:
                await work.finished(job_id, "failed", error.message)
            else:
                await work.finished(job_id, status)

    async def _clear(self, work: "_Work") -> None:
        while (job_id := work.next()) is not None:
            try:
                await forget_job(self._stores, self._settings(), self._host, job_id)
            except NotFoundError:
                await work.finished(job_id, "skipped")
            except ConflictError:
                await work.finished(job_id, "skipped")
            except UnavailableError:
                raise
            except MnedgeError as error:
                await work.finished(job_id, "failed", error.message)
            else:
                await work.finished(job_id, "cleared")

    async def _reconcile(self, work: "_Work") -> None:
        dry = bool(work.one.options.get("dry_run"))
        adopted = frozenset[str]() if dry else frozenset(await self._host.adopt())
        while (job_id := work.next()) is not None:
            if dry:
                await work.finished(job_id, "dry_run")
            else:
                await work.finished(job_id, "recovered" if job_id in adopted else "ignored")

    async def _drain(self, work: "_Work") -> None:
        """Take no new work; wait for what runs, for nobody else could carry it on."""
        options = work.one.options
        if options.get("dry_run"):
            while (job_id := work.next()) is not None:
                await work.finished(job_id, "dry_run")
            return
        before = await eligibility(self._stores)
        state = replace(
            before,
            draining=True,
            drain_status="draining",
            reason=str(options.get("reason") or ""),
            by=work.by,
            since=work.one.started_at,
            operation_id=work.one.operation_id,
        )
        await decide(self._stores, state)
        given_ms = options.get("deadline_ms")
        limit_s = given_ms / 1000 if isinstance(given_ms, int | float) and given_ms > 0 else DRAIN_S
        left_s = work.one.started_at + limit_s - self._now()
        for job_id in work.left():
            if not await self._is_over(job_id):
                await work.told("item_deferred", job_id, "draining")
        if work.left():
            await work.deferred()
        with trio.move_on_after(max(0.0, left_s)):
            while (job_id := work.next()) is not None:
                await self._over(job_id, work.one.operation_id)
                await work.finished(job_id, "completed")
        if not await self._drains(work.one.operation_id):
            for job_id in work.left():
                await work.finished(job_id, "ignored")
            return
        for job_id in work.left():
            await work.finished(
                job_id, "failed", "it still runs, and no other node could carry it on"
            )
        over = "blocked_no_placement" if work.one.counters.failed else "complete"
        await decide(self._stores, replace(state, drain_status=over))

    async def _drains(self, operation_id: str) -> bool:
        """Tell whether the node is still to be emptied by this operation."""
        found = await eligibility(self._stores)
        return found.draining and found.operation_id == operation_id

    async def _is_over(self, job_id: str) -> bool:
        try:
            return (await jobs.read_job(self._stores, job_id)).status in TERMINAL
        except jobs.JobNotFoundError:
            return True

    async def _over(self, job_id: str, operation_id: str) -> None:
        """Return when the job is over, or the node is no longer to be emptied."""
        while not await self._is_over(job_id) and await self._drains(operation_id):
            with trio.move_on_after(_RETRY_S):
                async for _ in self._stores.table.watch(jobs.JOBS + job_id):
                    if await self._is_over(job_id):
                        return

    async def _targets(self, kind: str) -> list[str]:
        match kind:
            case "clear_jobs":
                over = await jobs.list_jobs(self._stores, limit=None, statuses=TERMINAL)
                return [record.job_id for record in over]
            case _:
                statuses = frozenset(JobStatus) - TERMINAL
                live = await jobs.list_jobs(self._stores, limit=None, statuses=statuses)
                return [record.job_id for record in live]

    # ---- all of them ----

    async def _every(self) -> list[Operation]:
        found: list[Operation] = []
        key = ""
        while rows := await self._stores.table.scan(OPERATIONS, after=key):
            key = rows[-1].key
            for row in rows:
                try:
                    found.append(_operation(row.value))
                except CorruptError:
                    continue
        return found

    async def _tidy(self) -> None:
        every = await self._every()
        over = [one for one in every if one.status in ENDED]
        for one in over[: max(0, len(every) - KEPT)]:
            prefix = _events_of(one.operation_id)
            while rows := await self._stores.table.scan(prefix):
                for row in rows:
                    await self._stores.table.delete(row.key, sync=False)
            await self._stores.table.delete(OPERATIONS + one.operation_id, sync=False)

    async def _changed(self, operation_id: str, after: int) -> None:
        """Return when there may be more to tell."""
        async for rows in self._stores.table.watch(OPERATIONS + operation_id):
            for row in rows:
                one = _operation(row.value)
                if one.operation_id == operation_id and (one.events > after or one.status in ENDED):
                    return


class _Work:
    """An operation while it is carried out: what its items came to is written here."""

    def __init__(self, stores: jobs.Stores, one: Operation, now: Clock) -> None:
        self.one = one
        self._stores = stores
        self._now = now

    @property
    def by(self) -> str:
        """Who began it."""
        return self.one.by

    def left(self) -> list[str]:
        """Return the items that are not finished."""
        return self.one.targets[self.one.done :]

    def next(self) -> str | None:
        """Return the first item that is left; it is to be finished before the next."""
        return next(iter(self.left()), None)

    async def finished(self, item_id: str, status: str, error: str = "") -> None:
        """Write down what became of the first item that is left."""
        counters = self.one.counters
        failed = status == "failed"
        counters = replace(
            counters,
            finished=counters.finished + 1,
            failed=counters.failed + failed,
            succeeded=counters.succeeded + (not failed),
            deferred=max(0, counters.deferred - 1),
        )
        await self.told("item_completed", item_id, status, error)
        await self._write(done=self.one.done + 1, counters=counters)

    async def told(self, type_: str, item_id: str = "", status: str = "", error: str = "") -> None:
        """Write down an event; one without an item never has a status."""
        sequence = self.one.events + 1
        event: dict[str, Any] = {"sequence": sequence, "type": type_}
        if item_id:
            event |= {"item_id": item_id, "status": status}
        if error:
            event["error"] = error
        event |= {"operation_id": self.one.operation_id, "timestamp": iso_ms(self._now())}
        key = f"{_events_of(self.one.operation_id)}{sequence:08d}"
        await self._stores.table.put(key, _encode_event(event), sync=False)
        counters = self.one.counters
        if type_ == "item_deferred":
            counters = replace(counters, deferred=counters.deferred + 1)
        await self._write(events=sequence, counters=counters)

    async def deferred(self) -> None:
        """Say that what is left waits."""
        await self.told("operation_deferred")
        await self._write(status="deferred")

    async def ended(self, status: str, error: str = "") -> None:
        """Say that it is over."""
        await self.told("operation_ended", error=error)
        await self._write(status=status, error=error)

    async def _write(self, **changes: Any) -> None:
        self.one = replace(self.one, updated_at=self._now(), **changes)
        key = OPERATIONS + self.one.operation_id
        await self._stores.table.put(key, _encode(self.one), sync="status" in changes)


def _events_of(operation_id: str) -> str:
    return f"{EVENTS}{operation_id}/"


def _operation(value: bytes) -> Operation:
    try:
        return _decode(value)
    except msgspec.DecodeError as error:
        raise CorruptError(f"the record of an operation cannot be read: {error}") from error


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Operation).decode
_encode_event = msgspec.msgpack.Encoder().encode
_decode_event = msgspec.msgpack.Decoder(dict[str, Any]).decode
