"""A job that runs elsewhere, shown as if it ran here: `job watch`, and what a daemon was given."""

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import trio

from mnedge.cli import live
from mnedge.cli.carry import INTERRUPTED, LAST_LINES, OVER, Carried, tell_end
from mnedge.cli.desk import Desk, Look, Stream
from mnedge.cli.live import Shown, View
from mnedge.cli.progress import begun, taken_up
from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import fields, visible
from mnedge.cli.steps import StepProgress, from_ledger, seconds_of
from mnedge.cli.verbs import Asked
from mnedge.daemon.clock import wall_clock
from mnedge.errors import ConflictError, MnedgeError, UnavailableError
from mnedge.model.events import Event
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus, Verb
from mnedge.runtime.outcome import with_result_if_kept
from mnedge.store.runs.readers import Record

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_LOOK_S = 0.05
END_S = 5.0
RESTART_S = 30.0
"""A daemon is away for less when it is restarted, also with the grace for other work."""


class Told(live.Silent):
    """One JSON object per event, for programs."""

    def records(self, records: Sequence[Record]) -> None:
        """Print them."""
        for record in records:
            self.screen.document(record)
        self.screen.flush()


async def watch_job(asked: Asked, job_id: str, quiet: bool) -> int:
    """Show a job until it is over; return the exit code."""
    screen = Screen(asked)
    async with desk(asked) as there:
        look = await there.look(job_id)
        shown = shown_of(look.view.record, look, from_now=True)
        if screen.asked.human and not quiet and there.where:
            screen.say(*fields([("job", look.view.record.job_id), ("runs in", there.where)]), "")
        return await watch(screen, there, shown, quiet=quiet, cancels=False)


def shown_of(record: JobRecord, look: Look, *, from_now: bool) -> Shown:
    """Return the job as it is; or, unless `from_now`, as it was before anything happened."""
    view = look.view
    steps = from_ledger(view.workflow)
    agents = [(agent.agent_id, agent.kind) for agent in view.agents]
    fresh = [StepProgress(step_id=one.step_id, max_attempts=one.max_attempts)
             for one in steps.values()]  # fmt: skip
    progress = begun(agents, status=record.status if from_now else "pending", steps=fresh)
    if from_now:
        requests, workflow = view.human_requests, view.workflow
        taken_up(progress, view.agents, view.events, workflow=workflow, requests=requests)
    return Shown(record, progress)


async def watch(screen: Screen, there: Desk, shown: Shown, *, quiet: bool, cancels: bool) -> int:
    """Show the job until it is over, or the person leaves; return the exit code.

    `cancels`: the first Ctrl-C cancels the job. Otherwise it only stops looking.
    """
    view: View = live.view_for(screen, [shown], wall_clock, quiet=quiet)
    if screen.asked.output == "ndjson":
        view = Told(screen)
    watching = _Watching(there, shown, view, cancels=cancels)
    link = getattr(there, "link", None)
    if link is not None:
        link.on_change = watching.changed
    carried = await watching.run()
    if carried.left:
        _tell_left(screen, shown.record, hasty=carried.hasty)
        return INTERRUPTED
    return tell_end(screen, carried)


class _Watching:
    """One job, its view, and what Ctrl-C does."""

    def __init__(self, there: Desk, shown: Shown, view: View, *, cancels: bool) -> None:
        self.there = there
        self.shown = shown
        self.view = view
        self.cancels = cancels
        self.came = 0
        self.left = False

    async def run(self) -> Carried:
        """Follow the job to its end."""
        stream = await self.there.events(self.shown.record, self.shown.progress.last_seq)
        with trio.open_signal_receiver(*STOPPING) as signals, self.view.block():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.view.run)
                nursery.start_soon(self._obey, signals, nursery.cancel_scope)
                await self._follow(stream)
                nursery.cancel_scope.cancel()
            self.view.draw()
        if self.left:
            return Carried([self.shown.record], interrupted=True, left=True, hasty=self.came > 1)
        record = await self._ended()
        words: tuple[str, ...] = ()
        if record.status is JobStatus.FAILED:
            words = await last_words(self.there, record)
        return Carried([record], interrupted=self.came > 0, last_words=words)

    def changed(self, back: bool) -> None:
        """Tell that the daemon went away, or came back."""
        self.view.notice("the daemon is back" if back else "the daemon is away; waiting for it")

    def take(self, records: list[Record]) -> None:
        """Show what came."""
        if isinstance(self.view, Told):
            self.view.records(records)
        else:
            events = [event for one in records if (event := event_of(one)) is not None]
            self.view.take(self.shown, events)

    async def _follow(self, stream: Stream) -> None:
        if found := await stream.look():
            self.take(found)
        await stream.follow(self.take)

    async def _ended(self) -> JobRecord:
        """Return the record once it says that the job is over: it follows the last event."""
        record = await self._found()
        with trio.move_on_after(END_S):
            while record.status not in OVER:
                await trio.sleep(END_LOOK_S)
                record = await self.there.find(record.job_id)
        with suppress(MnedgeError):  # a result that is gone is told by `job result`
            record = await self.there.with_result(record)
        return with_result_if_kept(record)

    async def _found(self) -> JobRecord:
        """Return the record; a daemon that stops just as the job ends is waited for."""
        until = trio.current_time() + RESTART_S
        while True:
            try:
                return await self.there.find(self.shown.record.job_id)
            except UnavailableError as error:
                from mnedge.cli.link import AGAIN_S, DaemonAwayError  # slow to load

                if not isinstance(error, DaemonAwayError) or trio.current_time() > until:
                    raise
            await trio.sleep(AGAIN_S)

    async def _obey(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        async for number in signals:
            self.came += 1
            if number == signal.SIGINT and self.came == 1 and self.cancels:
                self.view.notice("cancelling; Ctrl-C again only stops looking")
                self.left = not await self._cancel()
            else:
                self.left = True
            if self.left:
                scope.cancel()
                return

    async def _cancel(self) -> bool:
        """Ask the job to end; return whether it was asked."""
        try:
            await self.there.steer(self.shown.record.job_id, Verb.CANCEL, "ctrl-c", 0.0)
        except ConflictError:
            return True  # it is over already
        except MnedgeError as error:
            self.view.notice(f"it cannot be cancelled: {error.message}")
            return False
        return True


def event_of(record: Record) -> Event | None:
    """Return a record of a stream as the event that it tells of; None for lines of workers."""
    seq, payload = record.get("seq"), record.get("payload")
    if not isinstance(seq, int) or isinstance(seq, bool):
        return None
    agent, step = record.get("agent_id"), record.get("step_id")
    return Event(
        seq,
        seconds_of(record.get("ts")) or 0.0,
        str(record.get("type")),
        agent if isinstance(agent, str) else None,
        payload if isinstance(payload, dict) else {},
        step if isinstance(step, str) else None,
    )


async def last_words(there: Desk, record: JobRecord) -> tuple[str, ...]:
    """Return the end of what the worker that failed wrote: stderr, else stdout."""
    result = record.result if isinstance(record.result, dict) else {}
    agent_id = result.get("agent_id")
    if not agent_id:
        return ()
    found = await (await there.logs(record)).look()
    said = [
        one
        for one in found
        if one.get("type") == "worker_output" and one.get("agent_id") == agent_id
    ]
    lines = str(said[-1].get("stderr") or said[-1].get("stdout") or "").splitlines() if said else []
    return tuple(visible(line) for line in lines[-LAST_LINES:])


def _tell_left(screen: Screen, record: JobRecord, *, hasty: bool) -> None:
    if not screen.asked.human:
        screen.document({"job_id": record.job_id, "left": True})
        return
    how = "while it is being cancelled" if hasty else "as it is"
    screen.note(f"left {how}; mnedge job watch {record.job_id} looks again")
