"""A job's launches and messages, read again from its journal: what happened, to the last detail.

The facts are applied once more, so nothing here was recorded for this. A journal whose beginning
was compacted away tells only what came after; `complete` says so.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from mnedge.engine import apply as engine
from mnedge.engine.compile import compile_job
from mnedge.engine.state import JobState, new_state, restore
from mnedge.model.codec import decode_fact
from mnedge.model.commands import CallModule, RunAttempt
from mnedge.model.facts import AnyFact, AttemptEnded, ModuleAnswered, Recovered
from mnedge.model.manifest import JobSpec
from mnedge.model.message import Message
from mnedge.model.records import JobRecord
from mnedge.runtime import jobs

BATCH = 200


class Launched(Struct, kw_only=True):
    """One launch of an attempt or of a module agent's call."""

    kind: str
    work_id: str
    launch: int
    agent_id: str
    step_id: str | None
    message: Message | None
    idempotency_key: str
    started_at: float
    node: str
    ended_at: float | None = None
    outcome: str = "running"
    """`succeeded`, `failed`, `stopped`, `lost` (its owner died), `running`."""


class Told(Struct, frozen=True, kw_only=True):
    """A message that an agent received."""

    message_id: str
    type: str
    sender: str
    to: str
    at: float
    causation_id: str | None
    artifacts: frozenset[str] = frozenset()
    """Paths of files that it names as artifacts."""


class Story(Struct, kw_only=True):
    """What happened in a job."""

    record: JobRecord
    spec: JobSpec
    launches: list[Launched] = field(default_factory=list)
    messages: dict[str, Told] = field(default_factory=dict)
    recovered_at: list[float] = field(default_factory=list)
    complete: bool = True
    """False: the journal's beginning is no longer kept."""


async def replayed(stores: jobs.Stores, job_id: str) -> Story:
    """Return what happened in a job so far.

    Raises: JobNotFoundError; CorruptError; UnavailableError.
    """
    record = await jobs.read_job(stores, job_id)
    spec = await jobs.read_spec(stores, job_id)
    story = Story(record=record, spec=spec)
    job = compile_job(spec, revision=record.engine_revision)
    state: JobState = new_state(job, job_id)
    first = await stores.journal.read(job_id, after=0, limit=1)
    if first and first[0][0] > 1:
        story.complete = False
        kept = await stores.journal.latest_snapshot(job_id)
        if kept is not None:
            state = restore(job, kept[1])
    reading = _Reading(story)
    while batch := await stores.journal.read(job_id, after=state.last_seq, limit=BATCH):
        for seq, content in batch:
            fact = decode_fact(content)
            reading.before(fact)
            commands, events = engine.apply(job, state, fact, seq)
            for event in events:
                if isinstance(event.payload, Message):
                    reading.received(event.payload)
            for command in commands:
                if isinstance(command, RunAttempt | CallModule):
                    reading.launched(command, fact.at)
    return story


class _Reading:
    def __init__(self, story: Story) -> None:
        self._story = story
        self._open: dict[tuple[str, int], Launched] = {}
        self._node = ""

    def before(self, fact: AnyFact) -> None:
        self._node = getattr(fact, "node", "") or self._node
        match fact:
            case AttemptEnded():
                self._ended(fact.attempt_id, fact.launch, fact.at, str(fact.outcome.status))
            case ModuleAnswered():
                failed = fact.error is not None or fact.crash is not None
                self._ended(fact.call_id, fact.launch, fact.at, "failed" if failed else "succeeded")
            case Recovered():
                self._story.recovered_at.append(fact.at)
                for launched in self._open.values():
                    launched.outcome = "lost"
                self._open.clear()
            case _:
                pass

    def received(self, message: Message) -> None:
        self._story.messages[message.message_id] = Told(
            message_id=message.message_id,
            type=message.type,
            sender=message.sender,
            to=message.to,
            at=message.at,
            causation_id=message.causation_id,
            artifacts=frozenset(_paths_in(message.artifacts)),
        )

    def launched(self, command: RunAttempt | CallModule, at: float) -> None:
        workflow: dict[str, Any] = {}
        key, kind, work_id = "", "call", ""
        if isinstance(command, RunAttempt):
            kind, work_id = "attempt", command.attempt_id
            workflow, key = command.workflow, command.idempotency_key
        else:
            work_id = command.call_id
        if command.message is not None:
            self.received(command.message)
        launched = Launched(
            kind=kind,
            work_id=work_id,
            launch=command.launch,
            agent_id=command.agent_id,
            step_id=workflow.get("step_id"),
            message=command.message,
            idempotency_key=key,
            started_at=at,
            node=self._node,
        )
        self._story.launches.append(launched)
        self._open[(work_id, command.launch)] = launched

    def _ended(self, work_id: str, launch: int, at: float, outcome: str) -> None:
        launched = self._open.pop((work_id, launch), None)
        if launched is not None:
            launched.ended_at, launched.outcome = at, outcome


def _paths_in(artifacts: list[Any]) -> Iterator[str]:
    for artifact in artifacts:
        if isinstance(artifact, str):
            yield artifact
        elif isinstance(artifact, dict):
            yield from (
                value
                for key in ("path", "relative_path", "uri")
                if isinstance(value := artifact.get(key), str)
            )
