"""One job: takes facts from its inbox, applies them, journals them, and only then acts.

The state in memory never runs ahead of the disk: if the journal refuses a batch, the state is
thrown away and read again.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, assert_never

import msgspec
import trio
from msgspec import Struct

from mnedge import faults
from mnedge.bus import Bus
from mnedge.engine import apply as engine
from mnedge.engine.compile import CompiledJob
from mnedge.engine.ledger.view import workflow_state
from mnedge.engine.state import JobState, new_state, restore, snapshot
from mnedge.errors import UnavailableError
from mnedge.execution.leases import NodeStoppingError
from mnedge.model.body import INLINE_LIMIT_BYTES
from mnedge.model.codec import decode_fact, sealed
from mnedge.model.commands import (
    AnyCommand,
    CallModule,
    ClearTimer,
    FinishJob,
    RunAttempt,
    SetTimer,
    StopAttempt,
)
from mnedge.model.events import Event
from mnedge.model.facts import (
    AnyFact,
    AttemptEnded,
    Continued,
    ModuleAnswered,
    Noted,
    OperatorAsked,
    Recovered,
    Submitted,
    TimerFired,
)
from mnedge.model.records import JobRecord, OperatorRequest
from mnedge.model.states import TERMINAL, JobStatus, Verb
from mnedge.ports import Claim
from mnedge.runtime import jobs
from mnedge.runtime.inbox import Inbox
from mnedge.runtime.input_reading import notes_of
from mnedge.runtime.listening import ASKED_S, WORKING_S, Listener
from mnedge.runtime.live_inputs import LiveInputs
from mnedge.runtime.publisher import RETRY_S, SETTLE_S, Publisher
from mnedge.runtime.timers import JobClock, Timers
from mnedge.runtime.workplace import Workplace
from mnedge.store.blobs import FileWork, on_the_loop
from mnedge.store.journal_rows import OutOfOrderError
from mnedge.store.runs.folder import RunFolder

BATCH = 256
"""Facts in one transaction at most, so that one job cannot keep the writer to itself."""
READ = 500
HUMAN_TIMER = "human:"
"""How the names of timers begin after which nobody's answer is waited for."""
ACT_FIRST_S = 0.5
"""In test builds that act before the journal: long enough for what was started to be seen."""

_HOLDING = frozenset({Verb.CANCEL, Verb.PAUSE})
"""What is obeyed before anything is launched again."""

Apply = Callable[[CompiledJob, JobState, AnyFact, int], tuple[list[AnyCommand], list[Event]]]


class Applied(Struct):
    """What a batch came to in memory, before anything of it is on disk."""

    first_seq: int
    facts: list[AnyFact]
    records: list[bytes]
    commands: list[AnyCommand]
    events: list[Event]
    poison: "PoisonError | None" = None

    @property
    def decides(self) -> bool:
        """Tell whether anything is built on it; notes alone may be lost in a power cut."""
        return bool(self.commands) or not all(isinstance(fact, Noted) for fact in self.facts)


class PoisonError(Exception):
    """`apply` raised: the fact with this number cannot be applied."""

    def __init__(self, seq: int, cause: Exception) -> None:
        super().__init__(f"fact {seq}: {type(cause).__name__}: {cause}")
        self.seq = seq

    @property
    def fault(self) -> dict[str, Any]:
        """Return what the record of a faulted job says."""
        return {"fact_seq": self.seq, "error": str(self)}


class Coordinator:
    """Runs one claimed job until it is finished, faulted, or its owner stops."""

    def __init__(
        self,
        record: JobRecord,
        job: CompiledJob,
        claim: Claim,
        *,
        stores: jobs.Stores,
        folder: RunFolder,
        workplace: Workplace,
        bus: Bus,
        clock: JobClock,
        node: str = "",
        snapshot_bytes: int = 4 << 20,
        file_work: FileWork = on_the_loop,
        apply: Apply = engine.apply,
        live_inputs: Callable[..., LiveInputs] | None = None,
    ) -> None:
        self.record = record
        self._job = job
        self._claim = claim
        self._stores = stores
        self._folder = folder
        self._workplace = workplace
        self._publisher = Publisher(record.job_id, folder, bus)
        self._clock = clock
        self._node = node
        self._snapshot_at_least = snapshot_bytes
        self._file_work = file_work
        self._apply = apply
        self._state = new_state(self._job, record.job_id)
        self._inbox = Inbox()
        self._timers = Timers(clock, self._timer_due)
        self._scopes: dict[str, trio.CancelScope] = {}
        self._listener = Listener(folder, self._inbox, clock, self._listening)
        self._live_inputs: LiveInputs | None = None
        if live_inputs is not None and job.live_inputs:
            self._live_inputs = live_inputs(job, self._inbox, clock, state=lambda: self._state)
        self._asked: dict[str, OperatorRequest] = {}
        self._since_snapshot_bytes = 0
        self._snapshot_bytes = 0
        self._snapshot_seq = 0
        self._finish: FinishJob | None = None
        self._poisoned = False
        self._goes_on = False
        """A `Continued` is on its way."""
        self._draining = False
        self._waits = trio.CancelScope()
        """Cancelled to wake the coordinator while it waits for facts."""
        self._acts_first = faults.flag("journal_first_off")

    @property
    def state(self) -> JobState:
        """The committed state; read it, never change it."""
        return self._state

    def drain(self) -> None:
        """Launch nothing more, and leave the job for its next owner once what runs has ended."""
        self._draining = True
        if self._live_inputs is not None:
            self._live_inputs.stop()
        self._waits.cancel()

    async def run(self) -> JobRecord:
        """Carry the job to its end, or until it is drained, and return its record.

        Raises: ConflictError if somebody else owns the job by now.
        """
        try:
            await self._open()
            if self._finish is None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._timers.run)
                    nursery.start_soon(self._publisher.run)
                    nursery.start_soon(self._watch_asks)
                    nursery.start_soon(self._listener.run)
                    if self._live_inputs is not None:
                        nursery.start_soon(self._live_inputs.run)
                    await self._serve(nursery)
                    nursery.cancel_scope.cancel()
            if self._poisoned:
                await self._keep_record()
            if self._finish is not None:
                await self._conclude(self._finish)
        finally:
            self._folder.close()
        return self.record

    # ---- opening ----

    async def _open(self) -> None:
        events = await self._read_again()
        # A job with a journal knows the folder for its own, even if a power cut took our stream.
        resume = self._state.last_seq > 0
        watermark = await self._file_work(partial(self._folder.open, resume=resume))
        if watermark > self._state.event_seq:
            self._folder.cut(self._state.event_seq)
        await self._publisher.add([event for event in events if event.seq > watermark])
        self._clock.open(not_before=self._state.at)
        self._finish = engine.finish_of(self._state)
        if self._state.last_seq:
            await self._workplace.sweep()
        if self._finish is not None:
            return
        waiting = await jobs.waiting_asks(self._stores, self.record.job_id)
        for request in waiting:
            if request.verb in _HOLDING:
                self._take_ask(request)
        at = self._clock()
        if self.record.started_at is None:
            self.record = msgspec.structs.replace(self.record, started_at=at)
        if self._state.status is JobStatus.PENDING:
            carried = await jobs.carried_to(self._stores, self.record.job_id)
            self._inbox.put(Submitted(at=at, node=self._node, carried=carried))
            for note in notes_of(self._job.spec, at):
                self._inbox.note(note)
        else:
            self._inbox.put(Recovered(at=at, node=self._node, reason="owner restarted"))
        # What starts work comes after that, or the work would count as lost; overdue timers are set
        # by `Recovered`, so they fire later still.
        self._listener.hear()
        for request in waiting:
            self._take_ask(request)

    async def _read_again(self) -> list[Event]:
        """Make the state what the journal says, and return the events since its snapshot."""
        journal, job_id = self._stores.journal, self.record.job_id
        kept = await journal.latest_snapshot(job_id)
        if kept is None:
            self._state = new_state(self._job, job_id)
        else:
            self._snapshot_seq, content = kept
            self._state = restore(self._job, content)
            self._snapshot_bytes = len(content)
        self._since_snapshot_bytes = 0
        events: list[Event] = []
        while batch := await journal.read(job_id, after=self._state.last_seq, limit=READ):
            for seq, content in batch:
                fact = decode_fact(content)
                try:
                    events += self._apply(self._job, self._state, fact, seq)[1]
                except Exception as error:
                    raise PoisonError(seq, error) from error
                self._since_snapshot_bytes += len(content)
        return events

    # ---- serving ----

    async def _serve(self, nursery: trio.Nursery) -> None:
        while self._finish is None and not self._poisoned:
            facts: list[AnyFact] = []
            with trio.CancelScope() as self._waits:
                if self._draining and not self._scopes and self._inbox.empty:
                    break
                facts = await self._inbox.take(BATCH)
            if facts:
                await self._step(facts, nursery)
        if self._draining:
            await self._publisher.settle()

    async def _step(self, facts: list[AnyFact], nursery: trio.Nursery) -> None:
        applied = await self._applied(facts)
        if self._acts_first:
            self._act(applied, nursery)
            await trio.sleep(ACT_FIRST_S)
        await self._append(applied)
        faults.hit("coordinator.commands.before")
        if any(isinstance(fact, Continued) for fact in applied.facts):
            self._goes_on = False
        if not self._acts_first:
            self._act(applied, nursery)
        if any(isinstance(fact, AttemptEnded) for fact in applied.facts):
            self._folder.merge_worker_files()
            self._listener.hear()
        await self._publisher.add(applied.events)
        await self._answer_asks(applied.facts)
        if any(isinstance(fact, Submitted) and fact.carried for fact in applied.facts):
            await self._insist(partial(jobs.forget_carried, self._stores, self.record.job_id))
        self._listener.journaled(applied.facts)
        if self._live_inputs is not None:
            self._live_inputs.journaled(applied.facts)
        if self._follow_status(applied.poison):
            nursery.start_soon(self._keep_record)
        await self._keep_snapshot()
        if self._state.wants_more and not self._goes_on:
            self._goes_on = True
            self._inbox.put(Continued(at=self._clock()))

    async def _applied(self, facts: list[AnyFact]) -> Applied:
        """Apply the facts in memory; at one that cannot be applied, keep those before it.

        Those that come after a long run of `apply` are put back, so that others get in between.
        """
        first_seq = self._state.last_seq + 1
        try:
            applied = self._apply_all(first_seq, facts)
            self._inbox.put_back(facts[len(applied.facts) :])
            return applied
        except PoisonError as poison:
            await self._insist(self._read_again)
            applied = self._apply_all(first_seq, facts[: poison.seq - first_seq])
            applied.poison = poison
            return applied

    def _apply_all(self, first_seq: int, facts: Sequence[AnyFact]) -> Applied:
        applied = Applied(first_seq, [], [], [], [])
        for seq, fact in enumerate(facts, first_seq):
            try:
                faults.hit("coordinator.apply")
                kept, record = sealed(fact)
                commands, events = self._apply(self._job, self._state, kept, seq)
            except Exception as error:
                raise PoisonError(seq, error) from error
            applied.facts.append(kept)
            applied.records.append(record)
            applied.commands += commands
            applied.events += events
            if self._state.wants_more:
                break
        return applied

    async def _append(self, applied: Applied) -> None:
        """Make the batch durable, however long the disk is full; memory never runs ahead of it."""
        if not applied.facts:
            return
        last_seq = applied.first_seq + len(applied.records) - 1
        kept = False
        while True:
            try:
                await self._stores.journal.append(
                    self.record.job_id,
                    self._claim.epoch,
                    applied.first_seq,
                    applied.records,
                    sync=applied.decides,
                )
                self._since_snapshot_bytes += sum(map(len, applied.records))
                break
            except OutOfOrderError:
                if not kept:
                    raise
                break  # only the answer was lost: the job is ours, so they are our facts
            except UnavailableError:
                await trio.sleep(RETRY_S)
            await self._insist(self._read_again)
            kept = self._state.last_seq >= last_seq  # or a new owner has written; so ask again
            if not kept:
                self._apply_now(applied)

    def _apply_now(self, applied: Applied) -> None:
        """Apply a refused batch again, as of now: what it starts has its whole time before it."""
        at = self._clock()
        facts = [msgspec.structs.replace(fact, at=max(fact.at, at)) for fact in applied.facts]
        again = self._apply_all(applied.first_seq, facts)
        applied.facts, applied.records = again.facts, again.records
        applied.commands, applied.events = again.commands, again.events

    async def _insist(self, act: Callable[[], Awaitable[object]]) -> None:
        """Do it, trying again while the disk is full, read-only or failing."""
        while True:
            try:
                await act()
                return
            except UnavailableError:
                await trio.sleep(RETRY_S)

    def _follow_status(self, poison: PoisonError | None) -> bool:
        """Let the record in memory follow the state; tell whether there is something to keep."""
        self._poisoned = poison is not None
        status = JobStatus.FAULTED if self._poisoned else self._state.status
        shown = (status, self._state.review, self._requests)
        same = shown == (self.record.status, self.record.review, self.record.waiting_for_human)
        if same or status in TERMINAL:
            return False
        self.record = msgspec.structs.replace(
            self.record,
            status=status,
            updated_at=max(self._clock(), self.record.updated_at),
            events=self._state.event_seq,
            fault=poison and poison.fault,
            review=self._state.review,
            waiting_for_human=self._requests,
        )
        return True

    async def _keep_record(self) -> None:
        """Write the record as it is after the events that it tells of."""
        await trio.sleep(SETTLE_S)
        await self._publisher.flush()
        await self._insist(lambda: jobs.write_job(self._stores, self.record))

    async def _keep_snapshot(self) -> None:
        if self._since_snapshot_bytes < max(self._snapshot_at_least, self._snapshot_bytes):
            return
        if not await self._publisher.settle():
            return
        content = snapshot(self._state)
        job_id, epoch, seq = self.record.job_id, self._claim.epoch, self._state.last_seq
        self._since_snapshot_bytes = 0
        try:
            # Events from before the snapshot cannot be derived again, so they are durable first.
            await self._file_work(self._folder.sync)
            await self._stores.journal.snapshot(job_id, epoch, seq, content)
            # The facts since the snapshot before stay: should this one be damaged, that one serves.
            await self._stores.journal.compact(job_id, epoch, self._snapshot_seq)
        except UnavailableError:
            return  # no snapshot is no loss; the journal has it all
        self._snapshot_seq, self._snapshot_bytes = seq, len(content)

    # ---- acting ----

    def _act(self, applied: Applied, nursery: trio.Nursery) -> None:
        over = self._state.status in TERMINAL or applied.poison is not None
        for command in applied.commands:
            match command:
                case FinishJob():
                    self._finish = command
                case StopAttempt():
                    self._stop(command.attempt_id)
                case ClearTimer():
                    self._timers.clear(command.timer_id)
                case _ if over:
                    pass
                case RunAttempt() | CallModule() if self._draining:
                    pass  # the next owner takes it for lost work, and launches it
                case SetTimer():
                    self._timers.set(command.timer_id, command.due_at)
                case RunAttempt():
                    self._begin(nursery, command.attempt_id, partial(self._attempt, command))
                case CallModule():
                    self._begin(nursery, command.call_id, partial(self._call, command))
                case _:
                    assert_never(command)

    def _begin(
        self, nursery: trio.Nursery, work_id: str, work: Callable[[], Awaitable[AnyFact]]
    ) -> None:
        """Have work done whose answer is a fact; an earlier launch of it is stopped."""
        self._stop(work_id)
        scope = self._scopes[work_id] = trio.CancelScope()
        nursery.start_soon(self._carry, work_id, work, scope)

    def _stop(self, work_id: str) -> None:
        scope = self._scopes.pop(work_id, None)
        if scope is not None:
            scope.cancel()

    async def _carry(
        self, work_id: str, work: Callable[[], Awaitable[AnyFact]], scope: trio.CancelScope
    ) -> None:
        with scope, suppress(NodeStoppingError):
            fact = await work()
            faults.hit("attempt.answered")
            self._inbox.put(fact)
        if self._scopes.get(work_id) is scope:
            del self._scopes[work_id]
        if self._draining:
            self._waits.cancel()

    async def _attempt(self, command: RunAttempt) -> AttemptEnded:
        outcome = await self._workplace.run(command, self._inbox.note)
        return AttemptEnded(
            at=self._clock(),
            attempt_id=command.attempt_id,
            launch=command.launch,
            outcome=outcome,
        )

    async def _call(self, command: CallModule) -> ModuleAnswered:
        answer = await self._workplace.call(command, self._inbox.note)
        return ModuleAnswered(
            at=self._clock(),
            call_id=command.call_id,
            launch=command.launch,
            actions=answer.actions,
            state=answer.state,
            error=answer.error,
            crash=answer.crash,
        )

    def _timer_due(self, timer_id: str) -> None:
        if timer_id.startswith(HUMAN_TIMER):
            self._listener.hear()  # who answered in time is not overruled by the clock
        self._inbox.put(TimerFired(at=self._clock(), timer_id=timer_id))

    def _listening(self) -> float | None:
        """Return how soon somebody may have written into `human.jsonl`; None: nobody will."""
        if self._scopes:
            return WORKING_S
        return ASKED_S if self._requests else None

    @property
    def _requests(self) -> int:
        """How many requests wait for a person."""
        people = self._state.people
        return 0 if people is None else len(people.pending)

    # ---- what people ask ----

    async def _watch_asks(self) -> None:
        while True:
            try:
                async for rows in self._stores.table.watch(f"{jobs.ASKS}{self.record.job_id}/"):
                    for row in rows:
                        self._take_ask(jobs.decode_ask(row.value))
            except UnavailableError:
                await trio.sleep(RETRY_S)  # the next watch begins with all that wait

    def _take_ask(self, request: OperatorRequest) -> None:
        if request.request_id in self._asked:
            return
        self._asked[request.request_id] = request
        if request.verb is Verb.CANCEL:
            self._publisher.hurry()
        self._inbox.put(
            OperatorAsked(
                at=self._clock(),
                request_id=request.request_id,
                verb=request.verb,
                by=request.by,
                reason=request.reason,
                details=request.details,
            )
        )

    async def _answer_asks(self, facts: Sequence[AnyFact]) -> None:
        for fact in facts:
            if isinstance(fact, OperatorAsked):
                request = self._asked[fact.request_id]
                await self._insist(partial(jobs.answered, self._stores, request))
                del self._asked[fact.request_id]

    # ---- the end ----

    async def _conclude(self, finish: FinishJob) -> None:
        """Leave run folder and record complete; repeated after a crash, it does the same."""
        ended_at = self._state.at
        await self._publisher.flush()
        result = await self._workplace.plain(finish.result)
        workflow = workflow_state(self._job, self._state)

        async def conclude() -> None:
            self._folder.merge_worker_files()
            self._folder.finish(
                finish.status,
                result,
                finish.error,
                ended_at=ended_at,
                steps=finished_steps(workflow),
                workflow=workflow if workflow["enabled"] else None,
            )
            await self._file_work(self._folder.sync)

        await self._insist(conclude)
        small = len(msgspec.json.encode(result)) <= INLINE_LIMIT_BYTES
        self.record = msgspec.structs.replace(
            self.record,
            status=finish.status,
            result=result if small else None,
            error=finish.error,
            updated_at=max(ended_at, self.record.updated_at),
            ended_at=ended_at,
            events=self._state.event_seq,
            fault=None,
            review=None,
            waiting_for_human=0,
        )
        # Nobody comes back to a job whose record says that it is over, so that is written last.
        await self._workplace.clear()
        await self._insist(self._drop_asks)
        await self._insist(lambda: jobs.write_job(self._stores, self.record))

    async def _drop_asks(self) -> None:
        for request in await jobs.waiting_asks(self._stores, self.record.job_id):
            await jobs.answered(self._stores, request)


def finished_steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what `result.json` says of the steps of a workflow, in their order.

    Source: bundle format 6.12.
    """
    steps = workflow.get("steps", {})
    return [
        {
            "id": step_id,
            "status": steps[step_id]["status"],
            "outcome": steps[step_id].get("terminal_outcome"),
            "attempts": steps[step_id].get("attempt_count", 0),
        }
        for step_id in workflow.get("step_order", ())
    ]
