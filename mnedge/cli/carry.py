"""Runs jobs in this process to their ends, shown by a view; and what Ctrl-C does to them."""

import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import psutil
import trio

from mnedge.bus import Published, Subscription
from mnedge.cli.ending import document, ending, headline
from mnedge.cli.live import Shown, View
from mnedge.cli.progress import begun
from mnedge.cli.screen import Screen
from mnedge.cli.show import visible
from mnedge.cli.steps import StepProgress
from mnedge.daemon.app import Node
from mnedge.errors import UnavailableError
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus, Verb
from mnedge.ports import Clock
from mnedge.runtime import jobs
from mnedge.runtime.outcome import with_result_if_kept
from mnedge.runtime.written import Reader

BATCHES = 10_000
"""Batches of events that may wait for the screen; what is lost is counted, not shown."""
INTERRUPTED = 130
LAST_LINES = 10
CONDITION_LOOK_S = 1.0
PAUSED_LOOK_S = 0.5
PAUSED_LOOKS = 3
OVER = TERMINAL | {JobStatus.FAULTED}
HURRY_S = 0.2
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Carried(NamedTuple):
    """What came of the jobs that were carried here."""

    records: list[JobRecord]
    interrupted: bool = False
    """A person pressed Ctrl-C."""
    left: bool = False
    """The jobs were left as they are; `job recover` goes on with them."""
    paused: bool = False
    """All that is left waits for a person."""
    hasty: bool = False
    """The person pressed Ctrl-C again: nobody wants to wait for workers."""
    last_words: tuple[str, ...] = ()
    """What the worker that failed the one job wrote last."""


class _Interrupts:
    """What signals do: the first Ctrl-C may cancel the jobs; whatever follows leaves them."""

    def __init__(self, node: Node, every: Sequence[Shown], view: View, *, cancels: bool) -> None:
        self.node = node
        self.every = every
        self.view = view
        self.cancels = cancels
        self.came = 0
        self.left = False

    async def obey(self, signals: AsyncIterator[int], scope: trio.CancelScope, now: Clock) -> None:
        """Act on each signal; a terminal that goes away, or a shutdown, leaves at once."""
        async for number in signals:
            self.came += 1
            if number == signal.SIGINT and self.came == 1 and self.cancels:
                self.view.notice("cancelling; Ctrl-C again leaves at once, to be recovered later")
                self.left = not await self._cancel_all(now)
            else:
                self.left = True
            if self.left:
                scope.cancel()

    async def _cancel_all(self, now: Clock) -> bool:
        """Ask all jobs to end; return whether that could be written down."""
        for shown in self.every:
            try:
                await jobs.ask(
                    self.node.store, shown.record.job_id, Verb.CANCEL, now=now, by="ctrl-c"
                )
            except jobs.JobStatusError:
                continue
            except UnavailableError as error:
                self.view.notice(f"it cannot be cancelled: {error.message}")
                return False
        return True


class _Pauses:
    """Notices that everything still to do is paused."""

    def __init__(self, node: Node, every: Sequence[Shown]) -> None:
        self.node = node
        self.every = every
        self.left = False

    async def watch(self, scope: trio.CancelScope) -> None:
        """Leave once all open jobs have been paused for a while, and nobody asked for more."""
        calm = 0
        while calm < PAUSED_LOOKS:
            await trio.sleep(PAUSED_LOOK_S)
            calm = calm + 1 if await self._all_paused() else 0
        self.left = True
        scope.cancel()

    async def _all_paused(self) -> bool:
        found = False
        for shown in self.every:
            record = await jobs.read_job(self.node.store, shown.record.job_id)
            if record.status in OVER:
                continue
            if record.status is not JobStatus.PAUSED:
                return False
            if await jobs.waiting_asks(self.node.store, record.job_id):
                return False
            found = True
        return found


async def carry(
    node: Node, every: Sequence[Shown], view: View, *, now: Clock, cancels: bool
) -> Carried:
    """Run the jobs in this process to their ends, or until the person leaves.

    `cancels`: the first Ctrl-C cancels the jobs. Otherwise it leaves them recoverable, and so does
    a pause of all that are left: nobody may be there to resume them.
    """
    by_id = {shown.record.job_id: shown for shown in every}
    interrupts = _Interrupts(node, every, view, cancels=cancels)
    pauses = _Pauses(node, every)
    records: list[JobRecord] = []
    with (
        trio.open_signal_receiver(*STOPPING) as signals,
        node.bus.subscribe(BATCHES) as news,
        view.block(),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_feed, news, by_id, view)
            nursery.start_soon(view.run)
            nursery.start_soon(_tell_condition, node, view)
            nursery.start_soon(interrupts.obey, signals, nursery.cancel_scope, now)
            if not cancels:
                nursery.start_soon(pauses.watch, nursery.cancel_scope)
            for job_id in by_id:
                await node.host.start_job(job_id)
            records = [await node.host.finished(job_id) for job_id in by_id]
            nursery.cancel_scope.cancel()
        await _feed_rest(news, by_id, view)
        view.draw()
    left = interrupts.left or pauses.left
    if left:
        records = [await jobs.read_job(node.store, job_id) for job_id in by_id]
    records = [with_result_if_kept(record) for record in records]
    words: tuple[str, ...] = ()
    if len(records) == 1 and records[0].status is JobStatus.FAILED:
        words = await last_words(node.store, records[0])
    return Carried(
        records,
        interrupted=interrupts.came > 0,
        left=left,
        paused=pauses.left,
        hasty=interrupts.came > 1,
        last_words=words,
    )


@asynccontextmanager
async def hurry() -> AsyncIterator[Callable[[], None]]:
    """Yield a function after whose call whatever this process started is killed.

    Open it around the node: while the node ends, workers would have their time to end well. It is
    not done at once, so that the node no longer listens and takes no kill for a worker's failure.
    """
    called = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_kill_all, called)
        yield called.set
        nursery.cancel_scope.cancel()


async def _kill_all(called: trio.Event) -> None:
    await called.wait()
    while True:
        await trio.sleep(HURRY_S)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()


async def last_words(store: jobs.Stores, record: JobRecord) -> tuple[str, ...]:
    """Return the end of what the worker that failed wrote: stderr, else stdout."""
    result = record.result if isinstance(record.result, Mapping) else {}
    agent_id = str(result.get("agent_id") or "")
    found = await Reader(store, record.job_id, [agent_id]).look() if agent_id else []
    said = [written for written in found if written.agent_id == agent_id]
    lines = (said[-1].stderr or said[-1].stdout).splitlines() if said else []
    return tuple(visible(line) for line in lines[-LAST_LINES:])


async def shown_of(store: jobs.Stores, record: JobRecord) -> Shown:
    """Return the job as it is before anybody looks."""
    spec = await jobs.read_spec(store, record.job_id)
    progress = begun(
        [(agent.agent_id, agent.kind.value) for agent in spec.agents],
        status=record.status,
        events=record.events,
        steps=[
            StepProgress(step_id=step.step_id, max_attempts=step.max_attempts)
            for step in (spec.workflow.steps if spec.workflow is not None else ())
        ],
    )
    return Shown(record, progress)


async def _tell_condition(node: Node, view: View) -> None:
    """Say that work stands still while the disk is full or refuses, and when it goes on."""
    before = "ok"
    while True:
        await trio.sleep(CONDITION_LOOK_S)
        condition = node.store.condition
        if condition.name != before:
            well = condition.name == "ok"
            view.notice("the disk is well again" if well else f"waiting: {condition.message}")
            before = condition.name


async def _feed(news: Subscription, by_id: dict[str, Shown], view: View) -> None:
    async for published in news:
        _hand_over(published, by_id, view)


async def _feed_rest(news: Subscription, by_id: dict[str, Shown], view: View) -> None:
    """Take what is there already, and wait for nothing."""
    with trio.CancelScope() as scope:
        scope.cancel()
        async for published in news:
            _hand_over(published, by_id, view)


def _hand_over(published: Published, by_id: dict[str, Shown], view: View) -> None:
    shown = by_id.get(published.job_id)
    if shown is not None:
        view.take(shown, published.events)


def exit_code(carried: Carried) -> int:
    """Return 0 if all completed, 130 if a person interrupted, else 1."""
    if carried.left and not carried.paused:
        return INTERRUPTED
    if all(record.status is JobStatus.COMPLETED for record in carried.records):
        return 0
    return INTERRUPTED if carried.interrupted else 1


def tell_end(screen: Screen, carried: Carried) -> int:
    """Say how the jobs ended; return the exit code."""
    if screen.asked.output == "json" and len(carried.records) != 1:
        screen.document([document(record) for record in carried.records])
    elif not screen.asked.human:
        for record in carried.records:
            screen.document(document(record))
    elif carried.left:
        screen.say("", *(headline(record) for record in carried.records if record.status in OVER))
        _tell_left(screen, carried, [r for r in carried.records if r.status not in OVER])
    elif len(carried.records) == 1:
        screen.say(
            "", *ending(carried.records[0], width=screen.width, last_words=carried.last_words)
        )
    else:
        screen.say("", *(headline(record) for record in carried.records))
    return exit_code(carried)


def _tell_left(screen: Screen, carried: Carried, records: Sequence[JobRecord]) -> None:
    ids = " ".join(record.job_id for record in records)
    if carried.paused:
        for record in records:
            screen.note(
                f"{record.job_id} is paused" + (f": {record.review}" if record.review else "")
            )
        screen.hint(f"mnedge job resume JOB, then mnedge job recover {ids}")
    else:
        how = "while it was being cancelled" if carried.hasty else "as it is"
        screen.note(f"left {how}; mnedge job recover {ids} goes on")
