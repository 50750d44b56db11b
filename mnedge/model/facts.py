"""What the journal keeps: only what came from outside a job. All else follows from these.

Fields are only ever added, each with a default: journals of every release replay for ever.
"""

from typing import Any

from msgspec import Struct, field

from mnedge.model.message import Message
from mnedge.model.states import OutcomeStatus, Verb


class Fact(Struct, frozen=True, kw_only=True, tag_field="fact", tag=True, omit_defaults=True):
    """Something that happened at job time `at`."""

    at: float


class Submitted(Fact, frozen=True, tag="submitted"):
    """The job was opened; its seeds go to the entrypoints."""

    node: str = ""
    carried: dict[str, Any] = field(default_factory=dict)
    """Steps of an earlier job that need not run again: step id → `{status, outcome, output}`."""


class Recovered(Fact, frozen=True, tag="recovered"):
    """A new owner opened the job: every launch that was under way is lost."""

    node: str = ""
    reason: str = ""


class Emission(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker asks to be sent: along its edges, or straight `to` an agent.

    None means "as in the message being handled".
    """

    type: str
    to: str | None = None
    body: Any = None
    class_: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Any] | None = None
    artifacts: list[Any] | None = None
    stream: dict[str, Any] | None = None


class NamedEvent(Struct, frozen=True, kw_only=True):
    """An event that a worker names itself."""

    type: str
    payload: dict[str, Any]


class Completion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worker says that its step, or the run, is complete."""

    scope: str
    """`step` or `run`."""
    default: bool = False
    """True: the result is the default output payload; else `value`."""
    value: Any = None


class Structured(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the worker's stdout said, if it was one JSON object with a trigger key."""

    has_next_state: bool = False
    next_state: Any = None
    events: list[NamedEvent] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    emissions: list[Emission] = field(default_factory=list)


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an attempt ended. Large strings in `result` and `error` may be `BlobRef`s."""

    status: OutcomeStatus
    result: dict[str, Any] = field(default_factory=dict)
    """The runner's result map with `attempts` and `lease` (worker contract 2.7, 3.8)."""
    structured: Structured | None = None
    sdk_result: dict[str, Any] | None = None
    """The worker's JSON result, if it is an SDK step result."""
    error: dict[str, Any] | None = None
    """Why it failed: the runner's result map plus `attempts`, or `{error, attempts}`."""


class AttemptEnded(Fact, frozen=True, tag="attempt_ended"):
    """A launch of an attempt gave its answer."""

    attempt_id: str
    launch: int
    outcome: Outcome


class DeliverLater(Struct, frozen=True, kw_only=True, tag_field="action", tag="deliver_later"):
    """A module agent wants a message to itself after a delay."""

    delay_s: float
    type: str
    body: Any = None


class Emit(Struct, frozen=True, kw_only=True, tag_field="action", tag="emit"):
    """A module agent emits."""

    emission: Emission


class Tell(Struct, frozen=True, kw_only=True, tag_field="action", tag="tell"):
    """A module agent publishes an event."""

    event: NamedEvent


class Complete(Struct, frozen=True, kw_only=True, tag_field="action", tag="complete"):
    """A module agent completes its step or the run."""

    completion: Completion


class Checkpoint(Struct, frozen=True, kw_only=True, tag_field="action", tag="checkpoint"):
    """A module agent replaces the snapshot that is shown for it."""

    snapshot: dict[str, Any]


Action = DeliverLater | Emit | Tell | Complete | Checkpoint


class ModuleAnswered(Fact, frozen=True, tag="module_answered"):
    """A module agent's worker handled one call: its actions and next state, as one fact."""

    call_id: str
    launch: int
    actions: list[Action] = field(default_factory=list)
    state: Any = None
    """The next state; large ones as a `BlobRef`."""
    error: str | None = None
    """The handler returned an error (fatal for the job)."""
    crash: str | None = None
    """The handler raised or its process died (restarted by policy)."""


class TimerFired(Fact, frozen=True, tag="timer_fired"):
    """A timer that the engine set came due."""

    timer_id: str


class OperatorAsked(Fact, frozen=True, tag="operator_asked"):
    """A person asked something of the job; `request_id` makes it once only."""

    request_id: str
    verb: Verb
    by: str = ""
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    """`redrive`, `discard`: `{message_id}` (`*`: all). `respond`: `{request_id, decision, …}` of
    the waiting human request; whatever else it holds is kept with the answer."""


class MessageArrived(Fact, frozen=True, tag="message_arrived"):
    """Somebody outside sent an agent a message (already normalised)."""

    message: Message


class LiveItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a live input brought. A large body is a `BlobRef`."""

    item_id: str
    """What comes twice is taken once."""
    type: str
    body: Any = None
    source_ref: dict[str, Any] = field(default_factory=dict)


class LiveInputRead(Fact, frozen=True, tag="live_input_read"):
    """A live input was read; its cursor is kept together with what it brought."""

    name: str
    items: list[LiveItem] = field(default_factory=list)
    cursor: str | None = None
    reads: int = 1
    """How often its connector was asked since the last such fact."""
    ended: dict[str, Any] | None = None
    """Why it is not read any more: `{code, error}`."""
    fails: bool = False
    """The job cannot go on without it."""


class WorkerSaid(Fact, frozen=True, tag="worker_said"):
    """A worker published an event that decides something, while its launch was under way."""

    work_id: str
    """Attempt id or call id."""
    launch: int
    event: NamedEvent


class HumanSaid(Fact, frozen=True, tag="human_said"):
    """A line that somebody (a worker, a tool, a person) appended to `human.jsonl`."""

    line_id: str
    """The same line is taken once only."""
    type: str
    """`human_input_requested`, `human_input_received`, `human_notice`, …"""
    payload: dict[str, Any]
    by: str = ""


class Note(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something worth an event that decides nothing: a lease wait, a beacon, a warning.

    A beacon (`agent_beacon`) of a step's attempt moves its heartbeat deadline.
    """

    at: float
    type: str
    agent_id: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    work_id: str = ""
    """The attempt or call it tells of, if any, and which launch of it."""
    launch: int = 0


class Noted(Fact, frozen=True, tag="noted"):
    """A batch of notes; journaled without an fsync of its own."""

    notes: list[Note]


class Continued(Fact, frozen=True, tag="continued"):
    """`apply` stopped after its bound of hops; here it goes on."""


class LimitCrossed(Fact, frozen=True, tag="limit_crossed"):
    """The state grew past the job's `max_state_bytes`: the job fails by name."""

    limit: str
    size_bytes: int
    limit_bytes: int


AnyFact = (
    Submitted
    | Recovered
    | AttemptEnded
    | ModuleAnswered
    | TimerFired
    | OperatorAsked
    | MessageArrived
    | LiveInputRead
    | WorkerSaid
    | HumanSaid
    | Noted
    | Continued
    | LimitCrossed
)
