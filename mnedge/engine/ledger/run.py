"""The run as a whole, seen from its ledger: begun, paused, found again, silent, done.

Source: bundle format 3.13, 3.15.
"""

from typing import Any

from mnedge.engine import job
from mnedge.engine.ledger import gate
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.fanout import may_be_nudged
from mnedge.engine.ledger.graph import add_edge, add_step, count_ended
from mnedge.engine.ledger.reports import complete
from mnedge.engine.ledger.settle import keep_output, reconsider, trigger
from mnedge.engine.ledger.state import LedgerState, StepEdgeState, StepState
from mnedge.engine.ledger.telling import agent_id_of, tell_step
from mnedge.engine.ledger.triggers import satisfied
from mnedge.engine.ledger.work import arm, clear_timers, park_work, set_timers
from mnedge.engine.state import RUNNING, Timer
from mnedge.engine.turn import Turn
from mnedge.model.message import normalise
from mnedge.model.states import (
    SUCCESSFUL_STEP,
    TERMINAL,
    JobStatus,
    StepOutcome,
    StepStatus,
)

STALLED_S = 30.0
"""A workflow that cannot go on fails after so long."""
_ACTIVE = (StepStatus.QUEUED, StepStatus.RUNNING, StepStatus.RETRY_WAIT, StepStatus.WAITING)
_SHIFTED = ("deadline_at", "heartbeat_deadline_at")


def start(turn: Turn, carried: dict[str, Any]) -> None:
    """Lay out the ledger of a job that begins; steps of an earlier job's success stay done."""
    compiled = turn.job.ledger
    if compiled is None:
        return
    ledger = turn.state.ledger = LedgerState(created_at=turn.at, updated_at=turn.at)
    for number in range(compiled.fixed):
        step = compiled.definitions[number].step
        add_step(turn, StepState(number, step.step_id, number))
    owners = {
        name: region for region, one in compiled.regions.items() for name in one.mutable_edges
    }
    for edge in compiled.workflow.edges:
        source, target = ledger.step_of.get(edge.source), ledger.step_of.get(edge.target)
        if source is None or target is None:
            continue
        region = owners.get(edge.edge_id)
        drives = region is not None or edge.source in compiled.children
        add_edge(
            turn,
            StepEdgeState(
                edge.edge_id, source, target, list(edge.accepts), edge.required, edge.event,
                region, drives,
            ),
        )  # fmt: skip
    for name, kept in carried.items():
        _carry(turn, name, kept)
    for number in ledger.steps:
        turn.touch(number)
    reconsider(turn)
    if carried:
        _start_behind_carried(turn)


def _start_behind_carried(turn: Turn) -> None:
    """Start the steps whose parents are all carried over: none of them will send a message."""
    for step in turn.ledger.steps.values():
        if step.status is StepStatus.READY and step.ins and step.ended == len(step.ins):
            trigger(turn, step, "its parents were carried over")


def _carry(turn: Turn, name: str, kept: Any) -> None:
    """Take over a step of the job that this one goes on with."""
    ledger = turn.ledger
    number = ledger.step_of.get(name)
    if number is None or not isinstance(kept, dict):
        return
    step = ledger.steps[number]
    status = kept.get("status")
    if status in list(SUCCESSFUL_STEP):
        step.status = StepStatus(status)
        outcome = kept.get("outcome")
        step.outcome = StepOutcome(outcome) if outcome in list(StepOutcome) else None
        step.reason = "carried over"
        step.ended_at = turn.at
        keep_output(turn, step, kept.get("output"))
        ledger.unfinished -= 1
        count_ended(turn, step)
        return
    key, given = kept.get("idempotency_key"), kept.get("messages")
    if isinstance(key, str) and key:
        step.retry_key = key
    messages = [
        normalise(tree, at=turn.at, seed=f"{turn.state.job_id}:{name}:{place}")
        for place, tree in enumerate(given if isinstance(given, list) else ())
        if isinstance(tree, dict)
    ]
    if messages:
        gate.put_first(turn, step, [one for one in messages if one.to in turn.job.index_of])


# ---- completion ----


def complete_run(turn: Turn, index: int, result: Any, attempt: int | None = None) -> None:
    """Do what an agent's completion of the run means here; `attempt`: of its step."""
    compiled, ledger = turn.job.ledger, turn.state.ledger
    if compiled is None or ledger is None:
        job.complete_run(turn, index, result)
        return
    if turn.state.status in TERMINAL:
        return
    agent = turn.job.agents[index]
    if turn.step != NO_STEP:
        step = ledger.steps[turn.step]
        counted = complete(turn, step, attempt, result)
        is_last = step.step_id == compiled.workflow.sink or not compiled.has_sink
        if counted and is_last and turn.state.status not in TERMINAL:
            ask_for_end(turn, index, result)
    elif agent.ends_run:
        ask_for_end(turn, index, result)
    else:
        payload = {"agent_id": agent.agent_id, "reason": "it is no terminal sink"}
        turn.tell("workflow_completion_ignored", agent.agent_id, payload)


def ask_for_end(turn: Turn, index: int, result: Any) -> None:
    """End the run with this result, now or once every step is successful."""
    ledger = turn.ledger
    if ledger.complete:
        _end(turn, index, result, deferred=False)
        return
    ledger.deferred = (index, result)
    agent_id = turn.job.agents[index].agent_id
    waiting_for = [
        step.step_id for step in ledger.steps.values() if step.status not in SUCCESSFUL_STEP
    ]
    payload = {"agent_id": agent_id, "unfinished": len(waiting_for), "steps": waiting_for[:20]}
    turn.tell("workflow_completion_deferred", agent_id, payload)


def resume_end(turn: Turn) -> None:
    """End the run if that was asked for before its steps were done, and they are by now."""
    ledger = turn.state.ledger
    if (
        ledger is None
        or ledger.deferred is None
        or not ledger.complete
        or turn.state.status not in (JobStatus.RUNNING, JobStatus.PAUSED)
    ):
        return
    index, result = ledger.deferred
    ledger.deferred = None
    agent_id = turn.job.agents[index].agent_id
    turn.tell("workflow_completion_resumed", agent_id, {"agent_id": agent_id})
    _end(turn, index, result, deferred=True)


def _end(turn: Turn, index: int, result: Any, *, deferred: bool) -> None:
    agent_id = turn.job.agents[index].agent_id
    payload = {"agent_id": agent_id, "result": result, "workflow": True}
    if deferred:
        payload["deferred"] = True
    turn.tell("job_completed", agent_id, payload)
    job.finish(turn, JobStatus.COMPLETED, {"agent_id": agent_id, "output": result})


# ---- silence ----


def silent(turn: Turn, kind: str) -> None:
    """Nothing moves any more: complete, start what no message will start, or give up."""
    ledger = turn.ledger
    if ledger.complete:
        _infer_end(turn)
        return
    ready = [
        step
        for step in ledger.steps.values()
        if (step.status in (StepStatus.PENDING, StepStatus.READY) or may_be_nudged(turn, step))
        and satisfied(step, turn.definition(step).step)
    ]
    if ready:
        for step in ready:
            if step.number in ledger.fan_outs:
                ledger.fan_outs[step.number].nudged = step.attempt_count + 1
            trigger(turn, step, "no message will come")
    elif kind == "stalled":
        _stall(turn)
    else:
        turn.set_timer(job.IDLE_TIMER, Timer(turn.at + STALLED_S - job.IDLE_S, "stalled"))


def _infer_end(turn: Turn) -> None:
    ledger = turn.ledger
    sink = ledger.step_of.get(turn.compiled_ledger.workflow.sink or "", NO_STEP)
    step = ledger.steps.get(sink)
    if step is None or not step.completed_nth:
        step = max(ledger.steps.values(), key=lambda one: one.completed_nth)
        step = step if step.completed_nth else None
    agent_id = None if step is None else agent_id_of(turn, step)
    output = None if step is None else step.output
    payload = {"agent_id": agent_id, "idle_s": job.IDLE_S}
    if step is not None:
        payload["step_id"] = step.step_id
    turn.tell("workflow_completion_inferred", agent_id, payload)
    turn.tell("job_completed", agent_id, {"agent_id": agent_id, "result": output, "workflow": True})
    job.finish(turn, JobStatus.COMPLETED, {"agent_id": agent_id, "output": output})


def _stall(turn: Turn) -> None:
    stuck = [
        f"{step.step_id} ({step.status})"
        for step in turn.ledger.steps.values()
        if step.status not in SUCCESSFUL_STEP
    ]
    more = f" and {len(stuck) - 10} more" if len(stuck) > 10 else ""
    job.fail(
        turn,
        None,
        f"nothing can move the workflow on; not done: {', '.join(stuck[:10])}{more}",
        component="workflow",
        code="workflow.stalled",
    )


# ---- pause, resume, recovery ----


def pausing(turn: Turn) -> None:
    """Stop what steps have out, and every clock of theirs; once."""
    ledger = turn.state.ledger
    if ledger is None or ledger.paused_at is not None:
        return
    if turn.running:
        turn.tell("job_pausing")
    ledger.paused_at = turn.at
    for step in ledger.steps.values():
        if step.status not in _ACTIVE:
            continue
        tell_step(turn, "workflow_step_blocked", step, reason="job paused")
        clear_timers(turn, step)
        park_work(turn, step)


def resumed(turn: Turn) -> None:
    """Shift every moment that lies ahead by the pause, and let the clocks go on."""
    ledger = turn.state.ledger
    if ledger is None or ledger.paused_at is None:
        return
    pause_s = turn.at - ledger.paused_at
    ledger.paused_at = None
    for step in ledger.steps.values():
        if step.status not in _ACTIVE:
            continue
        attempt = step.current
        if attempt is not None:
            for name in _SHIFTED:
                before = getattr(attempt, name)
                setattr(attempt, name, None if before is None else before + pause_s)
            set_timers(turn, step, attempt)
        if step.status is StepStatus.RETRY_WAIT and step.retry_at is not None:
            step.retry_at += pause_s
            timer = Timer(step.retry_at, "retry", step.number)
            turn.set_timer(f"step:{step.step_id}:retry", timer)
    reconsider(turn)


def found_again(turn: Turn) -> None:
    """Give steps whose launches were cut by a crash their whole time again."""
    ledger = turn.state.ledger
    if ledger is not None and turn.state.status is JobStatus.PAUSED:
        _renew(turn, ledger)
    if ledger is None or turn.state.status is not JobStatus.RUNNING:
        return
    for agent in turn.state.agents:
        flight = agent.flight
        if flight is None or flight.step_id is None or flight.phase != RUNNING:
            continue
        step = ledger.steps.get(ledger.step_of.get(flight.step_id, NO_STEP))
        current = None if step is None else step.current
        if step is not None and current is not None and current.number == flight.attempt:
            clear_timers(turn, step)
            arm(turn, step, current)


def _renew(turn: Turn, ledger: LedgerState) -> None:
    """Give attempts of a paused job their whole time from when it is resumed.

    The pause may have been heard only when nobody had run the job for long.
    """
    if ledger.paused_at is None:
        return
    for step in ledger.steps.values():
        current, definition = step.current, turn.definition(step).step
        if current is None or step.status not in _ACTIVE:
            continue
        if current.deadline_at is not None and definition.timeout_s is not None:
            current.deadline_at = ledger.paused_at + definition.timeout_s
        if current.heartbeat_deadline_at is not None and definition.heartbeat_ms is not None:
            current.heartbeat_deadline_at = ledger.paused_at + definition.heartbeat_ms / 1000
