"""Agents that answer at once: router, sensor, aggregator.

Source: worker contract 2.4 to 2.6.
"""

from typing import Any

from mnedge.engine.job import fail
from mnedge.engine.ledger import reports
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.run import complete_run
from mnedge.engine.ledger.settle import attempt_failed
from mnedge.engine.route import (
    Draft,
    dead_letter,
    emit,
    emit_to,
    outgoing,
    remember_output,
)
from mnedge.engine.state import AggregatorMemory
from mnedge.engine.turn import Turn
from mnedge.model.body import BlobRef, Gathered, weight_of
from mnedge.model.message import Message
from mnedge.model.states import TERMINAL

AGGREGATE_WEIGHT_BYTES = 300
AGGREGATE_HEADERS = {
    "schema_ref": "com.mirrorneuron.aggregator.result",
    "schema_version": "1.0.0",
}


def route_on(turn: Turn, index: int, message: Message) -> None:
    """Pass the message on under the router's type; twin of the fast path in `apply`."""
    compiled, agent = turn.agent(index)
    agent.processed += 1
    complete_alone(turn, message.body)
    draft = Draft(
        message,
        compiled.emits or message.type,
        message.body,
        weight_bytes=message.weight_bytes,
    )
    if compiled.target is not None:
        emit_to(turn, index, compiled.target, draft)
    else:
        emit(turn, index, draft)


def observe(turn: Turn, index: int, message: Message) -> None:
    """Count the message, tell of it, pass it on; complete the job once enough were seen."""
    compiled, agent = turn.agent(index)
    agent.processed += 1
    count = agent.processed
    body = {} if message.body is None else message.body
    turn.tell("sensor_observed", compiled.agent_id, {"count": count})
    if count >= (compiled.threshold or 1):
        complete_alone(turn, body)
    draft = Draft(
        message,
        compiled.emits or "sensor_ready",
        body,
        action=1,
        weight_bytes=message.weight_bytes,
        class_="event",
    )
    emit(turn, index, draft)
    if compiled.completes and turn.step == NO_STEP and count >= (compiled.threshold or 1):
        complete_run(turn, index, {"count": count, "last_message": body})


def complete_alone(turn: Turn, output: Any) -> None:
    """Complete the step that is acted for, if this agent does all its work."""
    if turn.step == NO_STEP:
        return
    step = turn.ledger.steps[turn.step]
    current = step.current
    if current is not None and turn.definition(step).is_alone:
        reports.complete(turn, step, current.number, output)


def gather(turn: Turn, index: int, message: Message) -> None:
    """Keep the body; once there are enough, send on all (and again with every later one)."""
    compiled, agent = turn.agent(index)
    agent.processed += 1
    memory = agent.memory
    if not isinstance(memory, AggregatorMemory):
        memory = agent.memory = AggregatorMemory()
    body = {} if message.body is None else message.body
    sender = _agent_id_of(body)
    if sender is not None:
        if sender in memory.seen:
            turn.tell("aggregator_duplicate_ignored", compiled.agent_id, {"agent_id": sender})
            return
        memory.seen[sender] = True
    _keep(turn, memory, body)
    count = len(memory.messages)
    turn.tell("aggregator_received", compiled.agent_id, {"count": count})
    enough = compiled.threshold is not None and count >= compiled.threshold
    if compiled.on_message or enough:
        _fire(turn, index, memory, message, body)


def _agent_id_of(body: Any) -> str | None:
    if isinstance(body, BlobRef):
        value = body.values.get("agent_id")
    else:
        value = body.get("agent_id") if isinstance(body, dict) else None
    return value if isinstance(value, str) else None


def _keep(turn: Turn, memory: AggregatorMemory, body: Any) -> None:
    memory.messages.append(body)
    size_bytes = weight_of(body)
    memory.weight_bytes += size_bytes
    memory.spread_bytes += size_bytes + gathered_bytes(body)
    turn.state.kept_bytes += size_bytes


def gathered_bytes(body: Any) -> int:
    """Return what the `Gathered` in a body would weigh written out.

    They stand only where the engine puts them: in aggregates and in the `input` of executors'
    outputs.
    """
    total = 0
    while isinstance(body, dict):
        gathered = body.get("messages")
        if isinstance(gathered, Gathered):
            total += gathered.size_bytes
            body = body.get("last_message")
        else:
            body = body.get("input")
    return total


def _fire(turn: Turn, index: int, memory: AggregatorMemory, message: Message, body: Any) -> None:
    compiled = turn.job.agents[index]
    count = len(memory.messages)
    gathered = Gathered(memory.messages, count, owner=index, size_bytes=memory.spread_bytes)
    result = {"messages": gathered, "count": count, "last_message": body}
    too_large = memory.spread_bytes > turn.job.max_state_bytes
    if too_large:
        result = {"count": count, "truncated": True}
    if turn.step != NO_STEP and not too_large:
        step = turn.ledger.steps[turn.step]
        if step.current is not None:
            reports.complete(turn, step, step.current.number, result)
            if turn.state.status in TERMINAL:
                return
    if compiled.emits is not None:
        draft = Draft(
            message,
            compiled.emits,
            result,
            action=1,
            weight_bytes=message.weight_bytes + AGGREGATE_WEIGHT_BYTES,
            class_="event",
            headers=AGGREGATE_HEADERS,
        )
        if too_large:
            for _, refused in outgoing(turn, index, draft):
                dead_letter(turn, refused, _too_large(turn, index, memory))
        else:
            emit(turn, index, draft)
    else:
        remember_output(turn, index, result)
    if turn.step != NO_STEP:
        if too_large:
            reason = _too_large(turn, index, memory)
            attempt_failed(turn, turn.ledger.steps[turn.step], reason, final=True)
    elif compiled.completes and too_large:
        reason = _too_large(turn, index, memory)
        fail(turn, compiled.agent_id, reason, component="engine", code="job.aggregate_too_large")
    elif compiled.completes:
        complete_run(turn, index, result)


def _too_large(turn: Turn, index: int, memory: AggregatorMemory) -> str:
    """Aggregators that feed each other in a circle double what they gathered each time round."""
    return (
        f"the aggregate of {turn.job.agents[index].agent_id} would take {memory.spread_bytes} bytes"
        f" written out, more than the job's max_state_bytes of {turn.job.max_state_bytes}"
    )
