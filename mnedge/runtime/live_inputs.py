"""Sources that are read for as long as a job runs: what they bring becomes facts of the job.

What is read waits for its place in the journal before more is read: a source is never read faster
than the job takes it. The cursor is journaled together with what came, so that after a crash each
thing comes once. While the job is paused, or its mailboxes are full, nothing is read.
Source: bundle format 5.4, 7.10, 7.11.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import trio

from mnedge.bundle.config import look_up
from mnedge.bundle.input_skills import event_of, is_event, resolved
from mnedge.config.settings import Config
from mnedge.engine.compile import CompiledJob
from mnedge.engine.job import is_over
from mnedge.engine.state import JobState
from mnedge.errors import MnedgeError, UnavailableError, UsageError
from mnedge.execution.large import Offload
from mnedge.model.facts import AnyFact, LiveInputRead, LiveItem, Note
from mnedge.model.manifest import LiveInput
from mnedge.model.states import JobStatus
from mnedge.ports import Batch, Blobs, Clock, Connector
from mnedge.runtime.inbox import Inbox
from mnedge.runtime.input_reading import asked, checked
from mnedge.runtime.publisher import RETRY_S

WAIT_S = 60.0
"""The longest wait for a source that is away; it begins with 1 s and doubles."""
TOLD_EVERY = 60
"""Tries in vain between two events, once the wait grows no more."""
WARN_AT = 0.8
READS = "max_connector_reads"


class LiveInputs:
    """Reads the live inputs of one job. `state` is what is committed."""

    def __init__(
        self,
        job: CompiledJob,
        inbox: Inbox,
        clock: Clock,
        *,
        state: Callable[[], JobState],
        blobs: Blobs,
        config: Config,
        connectors: Mapping[str, Connector],
        folder: str,
    ) -> None:
        self._job = job
        self._inbox = inbox
        self._clock = clock
        self._state = state
        self._offload = Offload(blobs, job.body_paths)
        self._config = config
        self._connectors = connectors
        self._folder = folder
        self._stirred = trio.Event()
        self._journaled: dict[str, trio.Event] = {}
        self._scope = trio.CancelScope()
        self._reads: dict[str, int] = {}
        """How often each was asked since its last fact."""
        self._paces: dict[str, _Pace] = {}
        budget = look_up(job.spec.config, f"budgets.{READS}")
        self._budget = float(budget) if _is_number(budget) and budget >= 0 else None

    def stop(self) -> None:
        """Read nothing more: the job goes to its next owner."""
        self._scope.cancel()

    def journaled(self, facts: list[AnyFact]) -> None:
        """Take note of these facts, which are durable: there may be room for more."""
        if self._job.live_inputs:
            for fact in facts:
                if isinstance(fact, LiveInputRead) and fact.name in self._journaled:
                    self._journaled.pop(fact.name).set()
            self._stirred.set()
            self._stirred = trio.Event()

    async def run(self) -> None:
        """Read until cancelled or stopped, or until none is left."""
        if not self._job.live_inputs:
            return
        with self._scope:
            await self._until(lambda state: state.status is not JobStatus.PENDING)
            async with trio.open_nursery() as nursery:
                for live in self._job.spec.live_inputs:
                    if not is_over(self._state(), live.name):
                        nursery.start_soon(self._read_one, live)

    async def _read_one(self, live: LiveInput) -> None:
        """Read one input; what ends it is a fact. What only this node lacks ends nothing."""
        connector = self._connectors.get(live.connector)
        try:
            settings = resolved(live.settings, self._job.spec.config, self._config.environ)
        except MnedgeError as error:
            self._left_alone(live, error.message)
            return
        if connector is None:
            self._left_alone(live, f"this node has no connector {live.connector!r}")
            return
        try:
            problems = checked(connector, settings)
            if problems:
                raise UsageError("; ".join(problems))
            await self._read_on(live, connector, settings)
        except MnedgeError as error:
            await self._end(live, error.code, error.message, fails=live.required)

    def _left_alone(self, live: LiveInput, error: str) -> None:
        """Tell that it is not read until the next start of mnedge, or the next owner."""
        self._note("input_skill_unavailable", live, {"retry_in_s": None, "error": error})

    async def _read_on(
        self, live: LiveInput, connector: Connector, settings: Mapping[str, Any]
    ) -> None:
        known = self._state().live_inputs.get(live.name)
        cursor = None if known is None else known.cursor
        pace = self._paces.setdefault(live.connector, _Pace(live.max_reads_per_minute))
        failures = 0
        while True:
            await self._until(lambda state: self._has_room(state, live.name))
            await pace.wait()
            if not self._may_read():
                await self._over_budget(live)
                return
            self._reads[live.name] = self._reads.get(live.name, 0) + 1
            try:
                batch = await asked(connector, dict(settings), cursor, folder=self._folder)
            except UnavailableError as error:
                failures += 1
                await self._wait_for(live, error, failures)
                continue
            if failures:
                self._note("input_skill_recovered", live, {"attempts": failures})
                failures = 0
            cursor = batch.cursor
            if batch.items:
                await self._hand_over(live, batch)

    async def _hand_over(self, live: LiveInput, batch: Batch) -> None:
        """Make facts of what came, and return when they are durable."""
        items = []
        for item in batch.items:
            said = event_of(live.events, item.event)
            source = {"skill": live.skill, "connector": live.connector, "item_id": item.item_id}
            body = {**item.body, "_source": {**source, "source_ref": item.source_ref}}
            items.append(
                LiveItem(
                    item_id=item.item_id,
                    type=said if is_event(said) else "input_item_received",
                    body=await self._kept(body),
                    source_ref=item.source_ref,
                )
            )
        await self._put(live, items=items, cursor=batch.cursor)

    async def _kept(self, body: Any) -> Any:
        """Return the body, or a reference to it, once the disk takes it."""
        while True:
            try:
                return await self._offload.value(body)
            except UnavailableError:
                await trio.sleep(RETRY_S)

    async def _put(self, live: LiveInput, **more: Any) -> None:
        durable = self._journaled[live.name] = trio.Event()
        reads = self._reads.pop(live.name, 0)
        self._inbox.put(LiveInputRead(at=self._clock(), name=live.name, reads=reads, **more))
        await durable.wait()

    async def _end(self, live: LiveInput, code: str, message: str, *, fails: bool) -> None:
        await self._put(live, ended={"code": code, "error": message}, fails=fails)

    # ---- when to read ----

    async def _until(self, holds: Callable[[JobState], bool]) -> None:
        while not holds(self._state()):
            await self._stirred.wait()

    def _has_room(self, state: JobState, name: str) -> bool:
        """Tell whether the job runs and whoever gets what is read can take some."""
        if state.status is not JobStatus.RUNNING:
            return False
        for index in self._job.live_inputs[name]:
            agent = state.agents[index]
            if agent.outside or agent.depth >= self._job.agents[index].bounds.most:
                return False
        return True

    async def _wait_for(self, live: LiveInput, error: UnavailableError, failures: int) -> None:
        """Wait for a source that is away, and tell of it now and then."""
        wait_s = min(2.0 ** min(failures - 1, 16), WAIT_S)
        if wait_s < WAIT_S or failures % TOLD_EVERY == 0:
            told = {"attempt": failures, "retry_in_s": wait_s, "error": error.message}
            self._note("input_skill_unavailable", live, told)
        await trio.sleep(wait_s)

    def _may_read(self) -> bool:
        """Tell whether the budget allows one more, and warn once most of it is used."""
        if self._budget is None:
            return True
        used = self._used()
        if used < self._budget and int(used) + 1 == _ceiling(WARN_AT * self._budget):
            self._tell_budget("budget_warning", int(used) + 1)
        return used < self._budget

    def _used(self) -> int:
        durable = sum(known.reads for known in self._state().live_inputs.values())
        once = sum(
            1
            for told in self._job.spec.input_sources.values()
            if isinstance(told, dict) and told.get("status") == "read"
        )
        return durable + once + sum(self._reads.values())

    async def _over_budget(self, live: LiveInput) -> None:
        self._tell_budget("budget_exceeded", self._used())
        handling = look_up(self._job.spec.config, "error_handling")
        mode = look_up(handling, "policies.budget.mode") or look_up(handling, "default_mode")
        message = f"budgets.{READS} allows no more reads"
        await self._end(live, "budget.exceeded", message, fails=mode != "skip")

    def _tell_budget(self, type_: str, used: int) -> None:
        payload = {"budget": READS, "limit": self._budget, "used": used}
        self._inbox.note(Note(at=self._clock(), type=type_, payload=payload))

    def _note(self, type_: str, live: LiveInput, more: Mapping[str, Any]) -> None:
        payload = {"name": live.name, "skill": live.skill, "connector": live.connector, **more}
        self._inbox.note(Note(at=self._clock(), type=type_, payload=payload))


class _Pace:
    """At most so many reads within any minute."""

    def __init__(self, most: float | None) -> None:
        self._most = most
        self._times: deque[float] = deque()

    async def wait(self) -> None:
        """Return when one more may be made, and count it."""
        if self._most is None:
            return
        now = at = trio.current_time()
        if len(self._times) >= max(self._most, 1):
            at = max(now, self._times.popleft() + 60 / min(self._most, 1))
        self._times.append(at)  # before the wait: others count it, too
        await trio.sleep_until(at)


def _ceiling(number: float) -> int:
    return -int(-number // 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
