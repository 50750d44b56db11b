"""The ledger's part of a job's state: steps, edges, attempts, messages; plain data.

Steps and edges are kept under numbers that only grow, in the order in which they came; what a
step must know of its parents it counts as they end, so that a step costs the same among ten
thousand as among ten.
"""

from collections import deque
from typing import Any

from msgspec import Struct, field

from mnedge.engine.ledger.definition import NO_STEP
from mnedge.model.message import Message
from mnedge.model.states import AttemptStatus, StepOutcome, StepStatus

STEP_BYTES = 600
EDGE_BYTES = 160
PATCH_BYTES = 160
HISTORY_BYTES = 320
"""About what a step, an edge, a patch and an entry of the history take in a snapshot."""
ATTEMPTS_KEPT = 50
"""Of one step; a controller of a service may have any number of them."""


class Attempt(Struct, array_like=True):
    """One try of a step."""

    number: int
    agent: int
    message_id: str
    idempotency_key: str
    started_at: float
    deadline_at: float | None = None
    heartbeat_deadline_at: float | None = None
    last_beacon_at: float | None = None
    status: AttemptStatus = AttemptStatus.RUNNING
    ended_at: float | None = None
    reason: str | None = None
    error: dict[str, Any] | None = None


class Origin(Struct, array_like=True):
    """Where a step comes from that no manifest lists."""

    map_index: int | None = None
    map_item: Any = None
    template_id: str | None = None
    region_id: str | None = None
    patch_id: str | None = None
    step_input: Any = None
    """What a patch or a plan gives it as `with` or `input`."""
    parent: int = NO_STEP
    """The step whose child workflow it belongs to."""
    child_round: int = 0
    child_phase: str | None = None
    """`planner` or `task`."""


class StepState(Struct, array_like=True):
    """One step: what it is made from, how far it is, and what it knows of its parents."""

    number: int
    step_id: str
    definition: int
    status: StepStatus = StepStatus.PENDING
    outcome: StepOutcome | None = None
    label: str | None = None
    """None: as in its definition."""
    origin: Origin | None = None
    attempt_count: int = 0
    attempts: list[Attempt] = []
    """The newest last; the last one is current while it runs."""
    waiting: deque[Message] | None = None
    """Messages that came before it could take them, in order."""
    saved: list[Message] | None = None
    """What a retry delivers again."""
    ins: list[int] = []
    outs: list[int] = []
    """Edges by number."""
    ended: int = 0
    """Of its parents so many are terminal, …"""
    accepted: int = 0
    """… successful in a way that the edge accepts, …"""
    succeeded: int = 0
    failed: int = 0
    driven: int = 0
    """Of its edges so many let the ledger start it rather than a message."""
    retry_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    last_event_at: float | None = None
    reason: str | None = None
    error: dict[str, Any] | None = None
    last_error: dict[str, Any] | None = None
    last_message_id: str | None = None
    output: Any = None
    weight_bytes: int = 0
    """About what its output takes."""
    retry_key: str | None = None
    """Idempotency key of a failed job's last attempt, used again for the first one here."""
    due: list[int] = []
    """Agents that will take from what waits for it."""
    completed_nth: int = 0
    """It was the so many-th step to complete; 0: it has not."""
    ticket: int = 0
    """It was queued as the so many-th step; 0: it is not queued."""
    tries: int = 0
    """So many of its newest attempts failed one after another."""
    saved_bytes: int = 0
    """About what `saved` takes."""

    @property
    def current(self) -> Attempt | None:
        """The attempt under way."""
        if self.attempts and self.attempts[-1].status is AttemptStatus.RUNNING:
            return self.attempts[-1]
        return None


class StepEdgeState(Struct, array_like=True):
    """`target` depends on `source`; both by number."""

    edge_id: str
    source: int
    target: int
    accepts: list[str]
    required: bool = True
    event: str = ""
    region_id: str | None = None
    """The region whose patch added it, or may remove it."""
    drives: bool = False
    """Its target is started by the ledger: a patch may remove it or has added it, or a child
    workflow comes before it."""
    checkpoint_revision: int | None = None
    """It counts as satisfied: its source let go of the target when it checkpointed."""


class MessageRecord(Struct, array_like=True):
    """What became of one message for a step."""

    step: str
    status: str
    """`running`, `acked`, `blocked`, `ignored`, `failed`."""
    at: float
    type: str = ""
    sender: str | None = None
    to: str = ""
    attempt: int = 0
    reason: str | None = None


class Patch(Struct, array_like=True):
    """A graph patch that was applied."""

    digest: str
    revision: int
    region_id: str
    steps: list[int] = []
    """Its instances that are still in the graph, and what a scatter made of them."""
    open: int = 0
    """So many of them are not terminal."""


class FanOut(Struct, array_like=True):
    """What a controller that checkpoints waits for, and what came of it last."""

    patch_id: str = ""
    """The patch whose instances it waits for; empty: its next message wakes it."""
    results: list[dict[str, Any]] = []
    """What the instances of its newest fan-out that is over came to."""
    weight_bytes: int = 0
    nudged: int = 0
    """The attempt that silence rather than a message has started."""


class ChildRun(Struct, array_like=True):
    """What a step's child workflow has come to."""

    inputs: dict[str, Any]
    """What of the parent's own output every step of it is given."""
    status: str = "running"
    """`running`, `completed`, `failed`."""
    revision: int = 0
    """Of its plan: how many planners it has had."""
    round: int = 0
    phase: str = "planner"
    """`planner` or `task`: whose end it waits for."""
    steps: list[int] = []
    """All of its steps."""
    open: int = 0
    """So many of them are not terminal."""
    plan: dict[str, Any] | None = None
    """What the newest planner has decided, until it is done."""
    decisions: list[dict[str, Any]] = []
    """One per planner: `{revision, decision, reason, round, steps}`."""
    reason: str | None = None
    """Why it failed."""


class LedgerState(Struct, array_like=True):
    """The steps of a job, as far as they have come."""

    steps: dict[int, StepState] = field(default_factory=dict)
    """By number, in step order."""
    edges: dict[int, StepEdgeState] = field(default_factory=dict)
    step_of: dict[str, int] = field(default_factory=dict)
    edge_of: dict[str, int] = field(default_factory=dict)
    next_step: int = 0
    next_edge: int = 0
    unfinished: int = 0
    """Steps that are not successful."""
    running: int = 0
    line: list[tuple[int, int]] = field(default_factory=list)
    """Agents that wait for a place among the running steps: the ticket of their next step first."""
    in_line: dict[int, int] = field(default_factory=dict)
    """The same, by agent."""
    tickets: int = 0
    messages: dict[str, MessageRecord] = field(default_factory=dict)
    cut: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Work that was stopped → the step and the attempt it was for: its answer is stale."""
    created_at: float = 0.0
    updated_at: float = 0.0
    paused_at: float | None = None
    revision: int = 0
    """Of the graph: grows with every patch."""
    patches: dict[str, Patch] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    """Fan-outs that are over."""
    deferred: tuple[int, Any] | None = None
    """Who asked for the run's completion before the ledger was complete, and with what."""
    completions: int = 0
    """Steps completed so far, gone ones included."""
    unmapped: dict[int, list[int]] = field(default_factory=dict)
    """Scatterer → targets it named with nothing to scatter."""
    child_runs: dict[int, ChildRun] = field(default_factory=dict)
    """Parent step → what its child workflow has come to."""
    fan_outs: dict[int, FanOut] = field(default_factory=dict)
    """Controllers that have checkpointed."""

    @property
    def complete(self) -> bool:
        """Tell whether every step is successful."""
        return self.unfinished == 0
