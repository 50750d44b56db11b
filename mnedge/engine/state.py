"""The state of one job: plain data, changed in place by `apply` and by nobody else.

A snapshot is one msgpack encode. Structs only ever gain fields at their end, each with a default:
snapshots of every release are restored for ever. Nothing here is a set, and no dict's order
depends on a hash.
"""

from collections import deque
from typing import Any

from msgspec import Struct, convert, field

from mnedge.engine.compile import CompiledJob
from mnedge.engine.ledger.state import LedgerState
from mnedge.engine.pressure import NORMAL
from mnedge.model.body import Gathered
from mnedge.model.codec import decoded, state_decoder, state_encoder
from mnedge.model.message import Message
from mnedge.model.states import JobStatus

OUTSIDE = -1
"""Stands for an agent's number where a message comes from outside."""
AGENT_BYTES = 200
"""What an agent without memories takes."""

RUNNING, STARTING, RESTARTING, PARKED = "running", "starting", "restarting", "parked"
"""Phases of a flight: out there; waiting for its first start, its next, or a resume."""


class Held(Struct, array_like=True, gc=False):
    """A message that waits for a place in a full mailbox."""

    message: Message
    holder: int
    """Who waits with it; `OUTSIDE`: nobody who would take messages meanwhile."""
    order: int
    """Grows with every hold of the job, so the oldest is known."""


class Flight(Struct, array_like=True):
    """One message being handled outside: by an executor's attempt, or by a module's worker."""

    work_id: str
    """Attempt id or call id."""
    message: Message | None
    """None: a module's worker recovers, and no message was under way."""
    phase: str = RUNNING
    launch: int = 1
    recovering: bool = False
    """A module's worker was asked to recover first; the message follows."""
    step_id: str | None = None
    attempt: int = 0
    """Of that step's attempts, the one it is work for."""


class AggregatorMemory(Struct, array_like=True, tag="aggregator"):
    """What an aggregator gathered; never reset."""

    messages: list[Any] = []
    seen: dict[str, bool] = {}
    weight_bytes: int = 0
    spread_bytes: int = 0
    """What the messages would weigh with every `Gathered` in them written out."""


class ExecutorMemory(Struct, array_like=True, tag="executor"):
    """What an executor keeps from run to run."""

    runs: int = 0
    agent_state: Any = None
    output: Any = None
    """The last output payload."""
    last_error: str | None = None
    started: bool = False
    """It has had its startup delay."""
    weight_bytes: int = 0


class ModuleMemory(Struct, array_like=True, tag="module"):
    """What a module agent keeps from call to call."""

    version: int = 0
    """Grows with every answer; 0: it never answered, and starts from nothing."""
    state: Any = None
    checkpoint: dict[str, Any] | None = None
    last_error: str | None = None
    recoveries: int = 0
    weight_bytes: int = 0
    crashed: bool = False
    """Its worker died while it worked for a step: it recovers before the next message."""


class Assembly(Struct, array_like=True):
    """What an agent that holds a step together has gathered in one attempt of the step."""

    attempt: str | None = None
    received: dict[str, Any] = {}
    """Bodies by the step, or the agent, that sent them; null once they were handed on."""
    seen: dict[str, bool] = {}
    """Messages it took, by id."""
    done: bool = False
    """It has handed on."""
    run_inputs: Any = None
    run_inputs_ref: Any = None
    weight_bytes: int = 0


class GlueMemory(Struct, array_like=True, tag="glue"):
    """What such an agent keeps: an assembly for each step that it works for, by number."""

    assemblies: dict[int, Assembly] = {}
    prune_at: int = 256
    """At so many, those of steps that are over are forgotten."""
    weight_bytes: int = 0


Memory = AggregatorMemory | ExecutorMemory | ModuleMemory | GlueMemory


class AgentState(Struct, array_like=True):
    """One logical agent: small, because a job may have ten thousand."""

    alarm: int
    """Depth whose reaching needs a closer look."""
    depth: int = 0
    """Messages delivered to it and not yet taken."""
    level: int = NORMAL
    holding: int = 0
    """Messages of its own that wait for a place elsewhere; until they have one it takes nothing."""
    processed: int = 0
    inbox: deque[Message] | None = None
    """Delivered messages whose turn came while it could not take them."""
    held: deque[Held] | None = None
    """Messages of agents that wait for a place here."""
    outside: deque[Held] | None = None
    """The same of messages from outside."""
    seeds_left: int = 0
    """Of its seeds, as many from the end were not delivered yet."""
    flight: Flight | None = None
    memory: Memory | None = None
    restarts: list[float] | None = None
    """When it was restarted, within the interval that counts."""
    ready: bool = False
    """It stands in the list of those who take from their inbox."""
    due: deque[int] | None = None
    """Steps whose waiting messages it may take now."""


class Timer(Struct, array_like=True):
    """Something to do at a moment of job time."""

    due_at: float
    kind: str
    """`later`, `startup`, `restart`, `idle`, `stalled`, `human`; of steps `deadline`,
    `heartbeat`, `retry`."""
    agent: int = -1
    """The agent it is about; of a step's timer, the step."""
    message: Message | None = None


class Request(Struct, array_like=True):
    """A question that waits for a person."""

    request_id: str
    asker: str
    """`gate`, `told`, `live` or `written`: see `people`."""
    payload: dict[str, Any]
    """As it was told."""
    allowed: list[str]
    default: str
    asked_at: float = 0.0
    due_at: float | None = None
    """None: it waits for ever."""
    agent: int = OUTSIDE
    step: int = -1
    attempt: int = 0
    message: Message | None = None
    """What a gate keeps until the decision."""
    correlation_id: str = ""
    work_id: str = ""
    weight_bytes: int = 0


class People(Struct, array_like=True):
    """What was asked of people, and heard from them."""

    pending: dict[str, Request] = {}
    answered: dict[str, str] = {}
    """Requests that wait no more, the newest last, and why."""
    lines: dict[str, bool] = {}
    """Lines of `human.jsonl` that were heard, the newest last."""
    count: int = 0
    """Makes ids of requests and of decisions differ."""
    paused_at: float | None = None


class Letter(Struct, array_like=True):
    """A message that reached nobody."""

    message: Message
    reason: str
    at: float
    step_id: str | None = None
    weight_bytes: int = 0


class LiveInputState(Struct, array_like=True):
    """How far a live input was read."""

    cursor: str | None = None
    reads: int = 0
    items: int = 0
    over: bool = False
    """It is not read any more."""


class JobState(Struct, array_like=True):
    """All that a job is, between two facts."""

    job_id: str
    agents: list[AgentState]
    revision: int = 1
    status: JobStatus = JobStatus.PENDING
    at: float = 0.0
    """Job time: never goes back."""
    last_seq: int = 0
    event_seq: int = 0
    queue: list[Message] = field(default_factory=list)
    """Delivered messages in the order in which they will be taken."""
    ready: deque[int] = field(default_factory=deque)
    """Agents that can take from their inbox."""
    flights: int = 0
    """Agents that have a flight."""
    holds: int = 0
    """Messages held by agents (not by the outside)."""
    hold_order: int = 0
    timers: dict[str, Timer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Operator requests already met, the newest last."""
    receipts: dict[str, float] = field(default_factory=dict)
    """Messages from outside already accepted, and when."""
    kept_bytes: int = 0
    """About what the agents' memories and the timers take."""
    queued_bytes: int = 0
    """About what messages in queues, mailboxes and flights take."""
    wants_more: bool = False
    """`apply` stopped at its bound: journal `Continued`."""
    review: str | None = None
    """Why it is paused until a person has looked."""
    last_agent: int = -1
    last_body: Any = None
    """The newest output of any agent: the result, should the job fall silent."""
    result: Any = None
    error: dict[str, Any] | None = None
    ledger: LedgerState | None = None
    people: People | None = None
    letters: dict[str, Letter] = field(default_factory=dict)
    """Dead letters by message id, the oldest first."""
    live_inputs: dict[str, LiveInputState] = field(default_factory=dict)
    """Live inputs that were read."""

    @property
    def size_bytes(self) -> int:
        """Return about how large a snapshot is."""
        return self.kept_bytes + self.queued_bytes + AGENT_BYTES * len(self.agents)


def new_state(job: CompiledJob, job_id: str) -> JobState:
    """Return the state of a job to which nothing has happened."""
    agents = [AgentState(agent.bounds.alarm(NORMAL)) for agent in job.agents]
    return JobState(job_id, agents, job.revision)


def _as_list(value: Any) -> Any:
    return list(value) if type(value) is deque else None


def _as_deque(kind: Any, value: Any) -> Any:
    items: list[Any] = convert(value, list[kind.__args__])
    return deque(items)


_encoder = state_encoder(_as_list)


def snapshot(state: JobState) -> bytes:
    """Return the state as bytes; the same state gives the same bytes."""
    return _encoder.encode(state)


def restore(job: CompiledJob, data: bytes) -> JobState:
    """Return the state of a snapshot.

    Raises: RecordUnreadableError if it is none.
    """
    gathered: list[Gathered] = []
    state = decoded(state_decoder(JobState, _as_deque, gathered), data, "snapshot")
    for view in gathered:
        memory = state.agents[view.owner].memory
        if isinstance(memory, AggregatorMemory):
            view.buffer = memory.messages
    for agent, compiled in zip(state.agents, job.agents, strict=True):
        agent.alarm = compiled.bounds.alarm(agent.level)
    return state
