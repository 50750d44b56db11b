"""What an agent looks like from outside: for conditions that ask for its state, and for people."""

from typing import Any

from msgspec import Struct

from mnedge.engine.compile import CompiledAgent, CompiledJob
from mnedge.engine.pressure import LEVEL_NAMES
from mnedge.engine.state import (
    RUNNING,
    AgentState,
    AggregatorMemory,
    ExecutorMemory,
    GlueMemory,
    JobState,
    ModuleMemory,
)
from mnedge.model.body import Gathered, shown
from mnedge.model.message import summary
from mnedge.model.states import AgentKind, JobStatus


class AgentView(Struct, frozen=True, kw_only=True):
    """One agent as committed."""

    agent_id: str
    kind: str
    template: str
    role: str | None
    display_name: str | None
    status: str
    """`paused`, `error`, `restarting`, `queued`, `running`, `completed`, `busy` or `ready`."""
    processed_messages: int
    mailbox_depth: int
    held_for_it: int
    """Messages that wait for a place in its mailbox."""
    holding: int
    """Messages of its own that wait for a place elsewhere."""
    pressure: str
    inflight_message: dict[str, Any] | None
    launch: int | None
    last_error: str | None
    current_state: dict[str, Any]
    """References in it are described, long lists cut."""


def agent_views(job: CompiledJob, state: JobState, *, most_items: int = 100) -> list[AgentView]:
    """Return every agent, in manifest order."""
    return [
        _view(compiled, agent, state, most_items)
        for compiled, agent in zip(job.agents, state.agents, strict=True)
    ]


def _view(
    compiled: CompiledAgent, agent: AgentState, state: JobState, most_items: int
) -> AgentView:
    flight = agent.flight
    message = None if flight is None else flight.message
    return AgentView(
        agent_id=compiled.agent_id,
        kind=compiled.kind.value,
        template=compiled.agent.template,
        role=compiled.agent.role,
        display_name=compiled.agent.display_name,
        status=_status(compiled, agent, state),
        processed_messages=agent.processed,
        mailbox_depth=agent.depth,
        held_for_it=len(agent.held or ()) + len(agent.outside or ()) + agent.seeds_left,
        holding=agent.holding,
        pressure=LEVEL_NAMES[agent.level],
        inflight_message=None if message is None else summary(message),
        launch=None if flight is None else flight.launch,
        last_error=_last_error(agent),
        current_state=shown(internal_state(compiled, agent), most_items=most_items),
    )


def _status(compiled: CompiledAgent, agent: AgentState, state: JobState) -> str:
    if state.status is JobStatus.PAUSED:
        return "paused"
    if agent.flight is not None:
        return "running" if agent.flight.phase == RUNNING else "restarting"
    if _last_error(agent) is not None:
        return "error"
    if agent.holding or agent.depth:
        return "queued"
    if compiled.kind is AgentKind.EXECUTOR and agent.processed:
        return "completed"
    return "ready"


def _last_error(agent: AgentState) -> str | None:
    memory = agent.memory
    return memory.last_error if isinstance(memory, ExecutorMemory | ModuleMemory) else None


def internal_state(compiled: CompiledAgent, agent: AgentState) -> dict[str, Any]:
    """Return the agent's own state, as snapshots show it and as conditions ask for it."""
    config, memory = compiled.agent.config, agent.memory
    match compiled.kind:
        case AgentKind.AGGREGATOR:
            gathered = memory if isinstance(memory, AggregatorMemory) else AggregatorMemory()
            return {
                "config": config,
                "messages": Gathered(
                    gathered.messages, len(gathered.messages), owner=compiled.index
                ),
                "seen_agent_ids": list(gathered.seen),
                "complete_on_message": compiled.on_message,
                "complete_after": compiled.threshold,
            }
        case AgentKind.EXECUTOR:
            runs = memory if isinstance(memory, ExecutorMemory) else ExecutorMemory()
            output = runs.output if isinstance(runs.output, dict) else {}
            return {
                "config": config,
                "runs": runs.runs,
                "agent_state": {} if runs.agent_state is None else runs.agent_state,
                "last_output_payload": runs.output,
                "last_result": output.get("sandbox"),
                "last_error": runs.last_error,
            }
        case AgentKind.MODULE:
            kept = memory if isinstance(memory, ModuleMemory) else ModuleMemory()
            return {
                "delegate": config.get("module"),
                "delegate_state": kept.state,
                "config": config,
                **(kept.checkpoint or {}),
            }
        case AgentKind.SENSOR:
            return {"config": config, "count": agent.processed}
        case AgentKind.STEP_SOURCE | AgentKind.STEP_JOIN | AgentKind.STEP_SINK:
            parts = memory.assemblies.values() if isinstance(memory, GlueMemory) else ()
            return {
                "config": config,
                "attempts": [
                    {"attempt_id": one.attempt, "received": one.received, "done": one.done}
                    for one in parts
                ],
            }
        case _:
            return {"node_id": compiled.agent_id, "forwarded": agent.processed, "config": config}


def state_root(compiled: CompiledAgent, agent: AgentState, root: str) -> Any:
    """Return what `agent_state` or `state` means in a condition; a module's `state` is its own."""
    if root == "state" and isinstance(agent.memory, ModuleMemory):
        return agent.memory.state
    return internal_state(compiled, agent)
