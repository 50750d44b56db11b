"""What was promised to somebody outside, and whether it is kept.

The witness stands between the coordinators and their store. It writes down what was acknowledged
and what was shown, where no crash reaches it, and compares: after each crash, and at the end.
"""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from mnedge.engine.compile import CompiledJob, compile_job
from mnedge.engine.state import JobState, new_state, restore, snapshot
from mnedge.model.codec import decode_fact
from mnedge.model.commands import AnyCommand, CallModule, RunAttempt
from mnedge.model.events import Event
from mnedge.model.facts import (
    AnyFact,
    AttemptEnded,
    HumanSaid,
    MessageArrived,
    ModuleAnswered,
    OperatorAsked,
)
from mnedge.model.message import Message, iso_ms
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, TERMINAL_STEP, AttemptStatus, JobStatus
from mnedge.ports import Claim, Epoch, Row
from mnedge.runtime import jobs
from mnedge.store.claims import epoch_of
from mnedge.store.journal_rows import BITS, MASK
from mnedge.store.schema import FILE
from tests.simulation.flows import ends, told_beforehand
from tests.simulation.jobs import SINK, Scenario
from tests.simulation.outside import Outside
from tests.simulation.unsafe import apply

committed_under: ContextVar[Mapping[str, Epoch]] = ContextVar("committed_under")
"""The newest epochs that were granted when this task's last transaction was made."""


class ViolationError(AssertionError):
    """A promise was broken."""


class Story(Struct):
    """What was seen of one job from outside."""

    scenario: Scenario
    facts: list[bytes] = field(default_factory=list)
    """As acknowledged, or found on the disk after a crash."""
    durable: int = 0
    """So many of them are to survive a power cut."""
    epoch: Epoch = Epoch(0, 0)
    """The newest that was granted."""
    shown: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    """Published events."""
    asked: list[str] = field(default_factory=list)
    """Acknowledged requests of operators."""
    submitted: bool = False
    over: bool = False
    _again: "tuple[list[bytes], Replayed] | None" = None

    @property
    def again(self) -> "Replayed":
        """The job as its facts alone make it."""
        if self._again is None or self._again[0] != self.facts:
            spec, job_id = self.scenario.spec, self.scenario.job_id
            self._again = list(self.facts), replayed(spec, job_id, self.facts)
        return self._again[1]


class Replayed(Struct):
    """A job as its facts alone make it, and what is wrong with what they did."""

    job: CompiledJob
    state: JobState
    commands: list[AnyCommand]
    events: list[Event]
    wrong: list[str]


def replayed(spec: Any, job_id: str, facts: Sequence[bytes]) -> Replayed:
    """Apply the facts from the first one on, as nobody who ever crashed."""
    job = compile_job(spec)
    state = new_state(job, job_id)
    again = Replayed(job, state, [], [], [])
    heard = Heard()
    for seq, content in enumerate(facts, 1):
        fact = decode_fact(content)
        known = heard.knows(fact)
        commands, events = apply(job, state, fact, seq)
        if known and (commands or events):
            again.wrong.append(f"fact {seq}, {known}, has an effect: {commands or events}"[:400])
        heard.learn(commands)
        again.commands += commands
        again.events += events
        again.wrong += heard.moved(state)
    return again


class Heard(Struct):
    """A second, naive account of what a fact may still change: nothing if it is stale or known."""

    launches: dict[str, int] = field(default_factory=dict)
    """Work under way → its newest launch; 0: it was answered."""
    known: set[str] = field(default_factory=set)
    """Requests and messages from outside."""
    over: dict[str, str] = field(default_factory=dict)
    """Steps that are over → how they ended."""

    def knows(self, fact: AnyFact) -> str:
        """Return why the fact may change nothing, or nothing."""
        match fact:
            case AttemptEnded(attempt_id=work_id, launch=launch):
                return self._stale(work_id, launch)
            case ModuleAnswered(call_id=work_id, launch=launch):
                return self._stale(work_id, launch)
            case OperatorAsked(request_id=name):
                return self._again(f"request {name}")
            case HumanSaid(line_id=name):
                return self._again(f"line {name}")
            case MessageArrived(message=message):
                return self._again(f"message {message.message_id}")
        return ""

    def learn(self, commands: Sequence[AnyCommand]) -> None:
        """Take note of what was started."""
        for command in commands:
            if isinstance(command, RunAttempt):
                self.launches[command.attempt_id] = command.launch
            elif isinstance(command, CallModule):
                self.launches[command.call_id] = command.launch

    def moved(self, state: JobState) -> list[str]:
        """Return the steps that were over and are something else now."""
        wrong: list[str] = []
        for step in state.ledger.steps.values() if state.ledger is not None else ():
            before = self.over.get(step.step_id, step.status)
            if before != step.status:
                wrong.append(f"step {step.step_id} was {before}, and is {step.status}")
            if step.status in TERMINAL_STEP:
                self.over[step.step_id] = step.status
        return wrong

    def _stale(self, work_id: str, launch: int) -> str:
        newest = self.launches.get(work_id, 0)
        if launch != newest:
            return f"answer of launch {launch} of {work_id} whose newest is {newest}"
        self.launches[work_id] = 0
        return ""

    def _again(self, name: str) -> str:
        if name in self.known:
            return f"the same {name} again"
        self.known.add(name)
        return ""


class Witness:
    """Knows what was promised about every job."""

    def __init__(self, scenarios: Sequence[Scenario], outside: Outside) -> None:
        self.stories = {one.job_id: Story(one) for one in scenarios}
        self.outside = outside
        self.broken: list[str] = []

    def breaks(self, what: str) -> None:
        """Write down that a promise was broken."""
        self.broken.append(what)

    def check(self) -> None:
        """Raise ViolationError if any promise was broken so far."""
        if self.broken:
            raise ViolationError("; ".join(self.broken[:3]))

    # ---- what is acknowledged ----

    def commits(self) -> None:
        """Facts are about to be committed by the task at work."""
        committed_under.set({job_id: story.epoch for job_id, story in self.stories.items()})

    async def appended(
        self,
        inner: Any,
        job_id: str,
        epoch: Epoch,
        first_seq: int,
        records: Sequence[bytes],
        *,
        sync: bool,
    ) -> None:
        """An append was acknowledged."""
        story = self.stories[job_id]
        if epoch < committed_under.get().get(job_id, epoch):
            self.breaks(f"{job_id}: facts of a stale owner were accepted")
        if first_seq > len(story.facts) + 1:  # kept, although the disk had reported an error
            found = await inner.read(job_id, after=len(story.facts), limit=10_000)
            for seq, record in found:
                self._fact(story, seq, record)
        for seq, record in enumerate(records, first_seq):
            self._fact(story, seq, record)
        if sync:
            story.durable = len(story.facts)

    def _fact(self, story: Story, seq: int, record: bytes) -> None:
        if seq == len(story.facts) + 1:
            story.facts.append(bytes(record))
        elif story.facts[seq - 1] != record:
            self.breaks(f"{story.scenario.job_id}: fact {seq} was changed")

    def granted(self, claim: Claim) -> None:
        """A claim was granted."""
        story = self.stories.get(claim.key.removeprefix(jobs.JOBS))
        if story is not None:
            if claim.epoch <= story.epoch:
                self.breaks(f"{claim.key}: epoch {claim.epoch} after {story.epoch}")
            story.epoch = claim.epoch

    def put(self, key: str, record: JobRecord | None) -> None:
        """A row was acknowledged."""
        if key.startswith(jobs.OPEN):
            self.stories[key.removeprefix(jobs.OPEN)].submitted = True
        if record is not None:
            story = self.stories[record.job_id]
            if record.status is JobStatus.FAULTED:
                fault = record.fault or {}
                self.breaks(f"{record.job_id} is faulted: {str(fault.get('error'))[-1500:]}")
            if story.over and record.status not in TERMINAL:
                self.breaks(f"{record.job_id} was over and is {record.status}")
            story.over = record.status in TERMINAL

    def published(self, job_id: str, events: Sequence[Event], run_folder: Path) -> None:
        """Events were shown to whoever watches."""
        story = self.stories[job_id]
        for event in events:
            seen = (event.type, event.agent_id)
            if story.shown.setdefault(event.seq, seen) != seen:
                self.breaks(f"{job_id}: event {event.seq} was {story.shown[event.seq]}, now {seen}")
        lines = (run_folder / "events.jsonl").read_bytes().split(b"\n")
        if lines[-1]:
            self.breaks(f"{job_id}: events.jsonl ends within a line: {lines[-1][:80]!r}")
            return
        newest = next((line for line in reversed(lines) if b'"seq":' in line), b"{}")
        if json.loads(newest).get("seq") != events[-1].seq:
            self.breaks(
                f"{job_id}: event {events[-1].seq} was shown, the run folder has {newest!r}"
            )

    # ---- after a crash ----

    def survey(self, data_dir: Path, scratch: Path, *, power: bool) -> None:
        """Look at what is left on the disk, without touching it."""
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        for name in (FILE, f"{FILE}-wal", f"{FILE}-journal"):
            if (data_dir / name).exists():
                shutil.copyfile(data_dir / name, scratch / name)
        if not (scratch / FILE).exists() or not (scratch / FILE).stat().st_size:
            for story in self.stories.values():
                self._after_crash(story, 0, [], power=power)
            return
        connection = sqlite3.connect(scratch / FILE, isolation_level=None)
        try:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":
                self.breaks(f"the database is damaged: {said}")
            elif connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE name = 'facts'"
            ).fetchone() == (1,):
                for story in self.stories.values():
                    self._survey_job(connection, story, power=power)
            else:
                for story in self.stories.values():
                    self._after_crash(story, 0, [], power=power)
        finally:
            connection.close()
        self.check()

    def _survey_job(self, connection: sqlite3.Connection, story: Story, *, power: bool) -> None:
        job_id = story.scenario.job_id
        row = connection.execute(
            "SELECT number, compacted FROM journals WHERE job_id = ?", (job_id,)
        ).fetchone()
        number, compacted = row or (0, 0)
        if power:  # a claim that nothing was written under may be lost, and its number used again
            story.epoch = min(story.epoch, epoch_of(connection, jobs.JOBS + job_id))
        rows = connection.execute(
            "SELECT id, body FROM facts WHERE id BETWEEN ? AND ? ORDER BY id",
            (number << BITS, (number << BITS) | MASK),
        ).fetchall()
        found = [(row_id & MASK, body) for row_id, body in rows]
        if [seq for seq, _ in found] != list(range(compacted + 1, compacted + len(found) + 1)):
            self.breaks(f"{job_id}: facts with gaps after a crash")
        self._after_crash(story, compacted, found, power=power)
        rows = dict(
            connection.execute(
                "SELECT key, value FROM rows WHERE key IN (?, ?)",
                (jobs.JOBS + job_id, jobs.SPECS + job_id),
            ).fetchall()
        )
        if story.submitted and len(rows) != 2:
            self.breaks(f"{job_id} was submitted and is gone")
        elif rows:
            story.submitted = True
            record = jobs._decode_job(rows[jobs.JOBS + job_id])
            if story.over and record.status not in TERMINAL:
                self.breaks(f"{job_id} was over, and is {record.status} after a crash")
            story.over = record.status in TERMINAL

    def _after_crash(
        self, story: Story, compacted: int, found: Sequence[tuple[int, bytes]], *, power: bool
    ) -> None:
        job_id = story.scenario.job_id
        last = found[-1][0] if found else compacted
        promised = story.durable if power else len(story.facts)
        if last < promised:
            self.breaks(f"{job_id}: {promised} facts were promised, {last} are left")
        for seq, body in found:
            if seq <= len(story.facts):
                if story.facts[seq - 1] != body:
                    self.breaks(f"{job_id}: fact {seq} is another after a crash")
            else:
                story.facts.append(bytes(body))
        if power:
            if not found and not compacted:
                story.epoch = Epoch(0, 0) if not story.durable else story.epoch
            del story.facts[last:]
            story.durable = last
            events = len(story.again.events)
            story.shown = {seq: seen for seq, seen in story.shown.items() if seq <= events}
        self.check_launches(story)

    # ---- what must hold at any time ----

    def check_launches(self, story: Story) -> None:
        """No launch began twice, and none whose command does not follow from kept facts."""
        job_id = story.scenario.job_id
        begun = Counter(
            (one.work_id, one.launch) for one in self.outside.started if one.job_id == job_id
        )
        twice = [launch for launch, times in begun.items() if times > 1]
        if twice:
            self.breaks(f"{job_id}: started twice under one number: {twice}")
        commanded = {
            (command.attempt_id, command.launch)
            if isinstance(command, RunAttempt)
            else (command.call_id, command.launch)
            for command in story.again.commands
            if isinstance(command, RunAttempt | CallModule)
        }
        early = [launch for launch in begun if launch not in commanded]
        if early:
            self.breaks(f"{job_id}: started, but no fact that is kept asks for it: {early}")

    # ---- the end ----

    def check_end(
        self,
        story: Story,
        record: JobRecord | None,
        run_folder: Path,
        kept: tuple[int, bytes] | None,
    ) -> None:
        """Compare all that is left of a job with what its facts alone make of it."""
        job_id = story.scenario.job_id
        again = story.again
        state = again.state
        self.broken += [f"{job_id}: {wrong}" for wrong in again.wrong]
        if record is None:
            self.breaks(f"{job_id}: there is no record")
            return
        if record.status is not state.status or record.status not in TERMINAL:
            self.breaks(f"{job_id}: the record says {record.status}, the facts {state.status}")
        if record.events != len(again.events):
            self.breaks(f"{job_id}: {record.events} events, the facts make {len(again.events)}")
        if kept is not None:
            other = restore(again.job, kept[1])
            for seq, content in enumerate(story.facts[kept[0] :], kept[0] + 1):
                apply(again.job, other, decode_fact(content), seq)
            if snapshot(other) != snapshot(state):
                self.breaks(f"{job_id}: from its snapshot at {kept[0]} it is another job")
        self._check_events(story, again, run_folder)
        self._check_messages(story, again)
        self._check_steps(story, again)
        self._check_requests(story)
        self.check_launches(story)

    def _check_events(self, story: Story, again: Replayed, run_folder: Path) -> None:
        job_id = story.scenario.job_id
        for event in again.events:
            seen = story.shown.get(event.seq)
            if seen not in (None, (event.type, event.agent_id)):
                self.breaks(f"{job_id}: event {event.seq} was shown as {seen}, is {event.type}")
        lines: list[bytes] = []
        for path in [*sorted(run_folder.glob("events.[0-9]*.jsonl")), run_folder / "events.jsonl"]:
            content = path.read_bytes()
            if content and not content.endswith(b"\n"):
                self.breaks(f"{job_id}: {path.name} ends within a line")
            lines += content.split(b"\n")[:-1]
        records = [json.loads(line) for line in lines]
        told = [
            (one["seq"], one["type"], one.get("agent_id"), one["ts"])
            for one in records
            if isinstance(one.get("seq"), int)
        ]
        made = [(one.seq, one.type, one.agent_id, iso_ms(one.at)) for one in again.events]
        if told != made:
            at = next(
                (n for n, (a, b) in enumerate(zip(told, made, strict=False)) if a != b),
                min(len(told), len(made)),
            )
            self.breaks(
                f"{job_id}: events.jsonl differs from the replay at line {at}: "
                f"{told[at : at + 2]} is not {made[at : at + 2]} ({len(told)} of {len(made)})"
            )
        ids = Counter(one.get("event_id") for one in records)
        if max(ids.values(), default=1) > 1:
            self.breaks(f"{job_id}: an event id stands twice in events.jsonl")
        run = json.loads((run_folder / "run.json").read_bytes())
        if run["status"] != again.state.status:
            self.breaks(f"{job_id}: run.json says {run['status']}")

    def _check_messages(self, story: Story, again: Replayed) -> None:
        """No message was handled twice, and a job that cannot fail brings forth all items."""
        job_id, state = story.scenario.job_id, again.state
        handled = Counter(
            (event.agent_id, event.payload.message_id)
            for event in again.events
            if event.type == "agent_message_received" and isinstance(event.payload, Message)
        )
        twice = [key for key, times in handled.items() if times > 1]
        if twice:
            self.breaks(f"{job_id}: handled twice: {twice}")
        if story.scenario.arrivals is None or state.status is JobStatus.CANCELLED:
            return
        if state.status is not JobStatus.COMPLETED:
            self.breaks(f"{job_id} is {state.status}, although it cannot fail: {state.error}")
            return
        memory = state.agents[again.job.index_of[SINK]].memory
        came = Counter(body["n"] for body in getattr(memory, "messages", ()))
        if came != Counter(story.scenario.arrivals):
            self.breaks(f"{job_id}: {dict(came)} came, not {story.scenario.arrivals}")

    def _check_steps(self, story: Story, again: Replayed) -> None:
        """Steps ended as they do where nothing crashes, and no step was tried too often."""
        scenario, ledger = story.scenario, again.state.ledger
        if ledger is None:
            return
        for step in ledger.steps.values():
            most = again.job.ledger.definitions[step.definition].step.max_attempts
            rested = [one for one in step.attempts if one.status is AttemptStatus.CHECKPOINTED]
            if step.attempt_count - len(rested) > most:
                self.breaks(f"{scenario.job_id}: step {step.step_id} had more attempts than {most}")
        if not scenario.told or again.state.status is JobStatus.CANCELLED:
            return
        status, steps = told_beforehand(self.outside.seed, scenario.job_id, scenario.spec)
        found = ends(ledger.steps)
        differ = {
            name: (found.get(name), steps.get(name))
            for name in [*steps, *(name for name in found if name not in steps)]
            if found.get(name) != steps.get(name)
        }
        if differ or again.state.status != status:
            self.breaks(
                f"{scenario.job_id} is {again.state.status}, not {status}; steps (found, told): "
                f"{differ}"
            )

    def _check_requests(self, story: Story) -> None:
        """Every request was journaled, and acted on once."""
        facts = [decode_fact(content) for content in story.facts]
        met = Counter(fact.request_id for fact in facts if isinstance(fact, OperatorAsked))
        ended = any(isinstance(fact, AttemptEnded) for fact in facts[-1:])
        missing = [request for request in story.asked if not met[request]]
        if missing and not story.over and not ended:
            self.breaks(f"{story.scenario.job_id}: requests were lost: {missing}")


class WitnessedJournal:
    """A journal whose acknowledgements are written down."""

    def __init__(self, inner: Any, witness: Witness, alive: Callable[[], None]) -> None:
        self._inner = inner
        self._witness = witness
        self._alive = alive

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def append(
        self,
        job_id: str,
        epoch: Epoch,
        first_seq: int,
        records: Sequence[bytes],
        *,
        sync: bool = True,
    ) -> None:
        await self._inner.append(job_id, epoch, first_seq, records, sync=sync)
        self._alive()
        await self._witness.appended(self._inner, job_id, epoch, first_seq, records, sync=sync)


class WitnessedClaims:
    """Claims whose grants are written down."""

    def __init__(self, inner: Any, witness: Witness) -> None:
        self._inner = inner
        self._witness = witness

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def claim(self, key: str) -> Claim | None:
        claim = await self._inner.claim(key)
        if claim is not None:
            self._witness.granted(claim)
        return claim


class WitnessedTable:
    """A table whose writes are written down."""

    def __init__(self, inner: Any, witness: Witness) -> None:
        self._inner = inner
        self._witness = witness

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def put(
        self, key: str, value: bytes, *, if_version: int | None = None, sync: bool = True
    ) -> int:
        version: int = await self._inner.put(key, value, if_version=if_version, sync=sync)
        if key.startswith(jobs.JOBS):
            self._witness.put(key, jobs._record(Row(key, value, version)))
        return version

    async def put_new(self, rows: Mapping[str, bytes]) -> None:
        await self._inner.put_new(rows)
        for key in rows:
            self._witness.put(key, None)
