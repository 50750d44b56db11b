"""What every manifest generation is lowered to: the one internal representation a job runs on.

The record is kept with the job for its whole life, so fields are only ever added, each with a
default.
"""

from typing import Any

from msgspec import Struct, field

from mnedge.model.states import AgentKind, FailurePolicy, TriggerRule


class Agent(Struct, frozen=True, kw_only=True):
    """One entry of the agent graph (the wire calls it a node)."""

    agent_id: str
    kind: AgentKind
    template: str = "generic"
    role: str | None = None
    display_name: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=dict)
    services: list[dict[str, Any]] = field(default_factory=list)


class Edge(Struct, frozen=True, kw_only=True):
    """Messages of one type go from `sender` to `target`, if the conditions hold."""

    edge_id: str
    sender: str
    target: str
    message_type: str
    routing_mode: str = "broadcast"
    conditions: dict[str, Any] = field(default_factory=dict)


class Step(Struct, frozen=True, kw_only=True):
    """One step of a workflow, or a template of steps that are made while the job runs.

    Source: bundle format 2.7, step definition.
    """

    step_id: str
    label: str = ""
    run: str = ""
    kind: str = "stage"
    agent_id: str = ""
    """What the manifest calls the step's agent, whether it exists or not."""
    agent_ids: list[str] = field(default_factory=list)
    """Who does its work, the primary agent first. Ids that name no agent have no effect."""
    required: bool = True
    failure_policy: FailurePolicy = FailurePolicy.FAIL_WORKFLOW
    rule: TriggerRule = TriggerRule.ALL_SUCCESS
    quorum: int | None = None
    max_attempts: int = 1
    retry_backoff_ms: float = 1000
    """0: the next attempt starts at once."""
    retry_backoff_multiplier: float = 2
    timeout_s: float | None = 300
    """None: unbounded."""
    beacon_timeout_ms: float | None = None
    """How long an attempt may be silent; None: as long as its timeout."""
    min_confidence: float | None = None
    on_low_confidence: str | None = None

    @property
    def heartbeat_ms(self) -> float | None:
        """How long an attempt may be silent."""
        if self.beacon_timeout_ms is not None:
            return self.beacon_timeout_ms
        return None if self.timeout_s is None else self.timeout_s * 1000

    @property
    def optional(self) -> bool:
        """Tell whether the job goes on without it."""
        return not self.required or self.failure_policy is not FailurePolicy.FAIL_WORKFLOW


class StepEdge(Struct, frozen=True, kw_only=True):
    """`target` depends on `source`."""

    edge_id: str
    source: str
    target: str
    accepts: list[str] = field(default_factory=lambda: ["done"])
    """Statuses of the source that count for `all_success`; `done` and `completed` are one."""
    required: bool = True
    event: str = ""


class Region(Struct, frozen=True, kw_only=True):
    """Where a step may change the graph while the job runs (bundle format 2.5.4)."""

    region_id: str
    strategy: str
    """`replace_path` or `checkpoint_fanout`."""
    controller: str
    exit: str | None = None
    templates: list[str] = field(default_factory=list)
    mutable_edges: list[str] = field(default_factory=list)


class DynamicLimits(Struct, frozen=True, kw_only=True):
    """Bounds of graph patches."""

    max_patches: int = 64
    max_active_steps: int = 128
    max_operations_per_patch: int = 64
    max_instance_input_bytes: int = 32768
    max_history: int = 256


class Dynamic(Struct, frozen=True, kw_only=True):
    """What graph patches may do."""

    templates: list[Step]
    regions: list[Region]
    limits: DynamicLimits = DynamicLimits()


class ChildWorkflow(Struct, frozen=True, kw_only=True):
    """Rounds of planned steps inside one parent step (bundle format 3.11)."""

    parent: str
    planner: str
    """Id of the template that plans."""
    templates: list[Step]
    """The planner's among them."""
    max_rounds: int
    max_steps_per_round: int
    inputs: dict[str, list[str]] = field(default_factory=dict)
    outputs: dict[str, list[str]] = field(default_factory=dict)


class Workflow(Struct, frozen=True, kw_only=True):
    """The steps of a job, and how they depend on each other."""

    steps: list[Step]
    edges: list[StepEdge]
    mode: str = "static_dag"
    """`static_dag` or `dynamic_dag`."""
    source: str | None = None
    sink: str | None = None
    controlling: bool = True
    """The ledger decides; False: no step names an agent, and steps only decorate."""
    max_parallel_steps: int | None = None
    dynamic: Dynamic | None = None
    child_workflows: list[ChildWorkflow] = field(default_factory=list)


class HumanControl(Struct, frozen=True, kw_only=True):
    """How people take part (bundle format 7.3)."""

    mode: str = "disabled"
    """`disabled`, `notice_only` or `approval_required`."""
    allowed_decisions: list[str] = field(default_factory=lambda: ["approve", "reject"])
    timeout_s: float | None = None
    default_action: str = "reject"
    blocked_actions: list[str] = field(default_factory=list)
    prompt: str = ""


class LiveInput(Struct, frozen=True, kw_only=True):
    """A source that is read for as long as the job runs (bundle format 5.4)."""

    name: str
    skill: str
    connector: str
    settings: dict[str, Any]
    """What the blueprint wrote about the source; references to secrets, never their values."""
    events: dict[str, str] = field(default_factory=dict)
    """What the connector says happened → the event type; `*`: whatever it says."""
    to: list[str] = field(default_factory=list)
    """Agents that get each item; empty: the entrypoints."""
    required: bool = False
    max_reads_per_minute: float | None = None


class JobSpec(Struct, frozen=True, kw_only=True):
    """A validated, lowered manifest: all the engine and execution need to run a job."""

    blueprint_id: str
    graph_id: str
    job_name: str
    agents: list[Agent]
    edges: list[Edge]
    entrypoints: list[str]
    seeds: dict[str, list[Any]]
    """Entrypoint → the bodies it is started with, each at least one."""
    generation: str = "A"
    job_type: str = "batch"
    """`batch`, `service`, `system` or `sysbatch`."""
    manifest_version: str = "1.0"
    name: str = ""
    policies: dict[str, Any] = field(default_factory=dict)
    services: list[dict[str, Any]] = field(default_factory=list)
    required_services: list[dict[str, Any]] = field(default_factory=list)
    required_context_engine: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    """The resolved blueprint config (defaults, overrides), as the worker sees it."""
    inputs: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    """Directory digest of the bundle, `sha256:<hex>`."""
    scenario: dict[str, Any] | None = None
    workflow: Workflow | None = None
    """None: no ledger, pure message passing."""
    human: HumanControl = HumanControl()
    input_sources: dict[str, Any] = field(default_factory=dict)
    """Input skill → where what it brought came from, and whether it did."""
    live_inputs: list[LiveInput] = field(default_factory=list)

    @property
    def recovery_mode(self) -> str:
        """`local_restart` (default), `cluster_recover`, `manual_recover` or `auto`."""
        return str(self.policies.get("recovery_mode") or "local_restart")
