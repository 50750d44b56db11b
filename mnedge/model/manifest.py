"""What every manifest generation is lowered to: the one internal representation a job runs on.

The record is kept with the job for its whole life, so fields are only ever added, each with a
default.
"""

from typing import Any

from msgspec import Struct, field

from mnedge.model.states import AgentKind


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

    @property
    def recovery_mode(self) -> str:
        """`local_restart` (default), `cluster_recover`, `manual_recover` or `auto`."""
        return str(self.policies.get("recovery_mode") or "local_restart")
