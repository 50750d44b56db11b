"""The life of the job: started, paused, resumed, finished, cancelled, fallen silent.

Source: worker contract 5.2 to 5.5, bundle format 3.15.
"""

from typing import Any

from mnedge.engine.route import seed
from mnedge.engine.state import PARKED, RUNNING, JobState, Timer
from mnedge.engine.turn import Turn
from mnedge.model.commands import FinishJob, StopAttempt
from mnedge.model.facts import OperatorAsked
from mnedge.model.failure import failure_envelope, failure_text
from mnedge.model.states import TERMINAL, AgentKind, JobStatus, Verb

IDLE_S = 1.0
"""A batch job that is silent so long is over."""
IDLE_TIMER = "idle"
REQUESTS_KEPT = 256


def start(turn: Turn, node: str) -> None:
    """Bring a new job to running, its seeds on their way."""
    turn.tell("job_pending")
    turn.move(JobStatus.VALIDATED)
    turn.tell("job_validated")
    turn.move(JobStatus.SCHEDULED)
    turn.tell("job_scheduled", None, {"node": node})
    for index in turn.job.entrypoints:
        seed(turn, index)
    turn.move(JobStatus.RUNNING)
    turn.tell("job_running")


def complete_run(turn: Turn, index: int, result: Any) -> None:
    """End the job as the agent asks; a service notes it and goes on."""
    agent_id = turn.job.agents[index].agent_id
    if turn.state.status in TERMINAL:
        return
    if not turn.job.completes_by_agent:
        turn.tell("service_agent_completed", agent_id, {"agent_id": agent_id, "result": result})
        return
    turn.tell("job_completed", agent_id, {"agent_id": agent_id, "result": result})
    finish(turn, JobStatus.COMPLETED, {"agent_id": agent_id, "output": result})


def fail(
    turn: Turn,
    agent_id: str | None,
    error: Any,
    *,
    component: str = "agent",
    code: str | None = None,
    step_id: str | None = None,
    **about: Any,
) -> None:
    """End the job because of an error (text, or a result map)."""
    if turn.state.status in TERMINAL:
        return
    text = failure_text(error)
    envelope = failure_envelope(
        error,
        at=turn.at,
        job_id=turn.state.job_id,
        event_seq=turn.next_seq,
        component=component,
        code=code,
        agent_id=agent_id,
        step_id=step_id,
        **about,
    )
    payload = {
        "agent_id": agent_id,
        "reason": text,
        "status_reason": envelope["desc"],
        "error": envelope,
    }
    result = {"agent_id": agent_id, "error": text}
    if step_id is not None:
        payload["step_id"] = result["step_id"] = step_id
    turn.tell("job_failed", agent_id, payload, step_id=step_id)
    finish(turn, JobStatus.FAILED, result, envelope)


def finish(turn: Turn, status: JobStatus, result: Any, error: dict[str, Any] | None = None) -> None:
    """Enter a terminal status and stop what is under way. Nothing moves any more."""
    state = turn.state
    turn.move(status)
    state.result, state.error = result, error
    state.review = None
    for agent, compiled in zip(state.agents, turn.job.agents, strict=True):
        flight = agent.flight
        if flight is not None and flight.phase == RUNNING and compiled.kind is AgentKind.EXECUTOR:
            turn.commands.append(StopAttempt(attempt_id=flight.work_id, reason=f"job {status}"))
    for timer_id in list(state.timers):
        turn.clear_timer(timer_id)
    turn.commands.append(FinishJob(status=status, result=result, error=error))


# ---- operators ----


def operator_asked(turn: Turn, fact: OperatorAsked) -> None:
    """Do what an operator asked for, once, if the job's status allows it."""
    requests = turn.state.requests
    if fact.request_id in requests:
        return
    requests.append(fact.request_id)
    del requests[:-REQUESTS_KEPT]
    payload = {"reason": fact.reason} if fact.reason else {}
    if fact.by:
        payload["by"] = fact.by
    status = turn.state.status
    match fact.verb:
        case Verb.PAUSE if status is JobStatus.RUNNING:
            turn.move(JobStatus.PAUSED)
            turn.tell("job_paused", None, payload)
        case Verb.RESUME if status in (JobStatus.PAUSED, JobStatus.FAULTED):
            resume(turn, payload)
        case Verb.CANCEL if status not in TERMINAL:
            reason = fact.reason or "cancelled by operator"
            turn.tell("job_cancelled", None, {**payload, "reason": reason})
            finish(turn, JobStatus.CANCELLED, {"reason": reason})
        case _:
            pass


def resume(turn: Turn, payload: dict[str, Any]) -> None:
    """Let agents take messages again; who waited for a person goes on."""
    turn.move(JobStatus.RUNNING)
    turn.state.review = None
    turn.tell("job_resumed", None, payload)


def park(turn: Turn, index: int, reason: str) -> None:
    """Let the agent's message wait, and the job pause, until a person has looked."""
    compiled, agent = turn.agent(index)
    if agent.flight is not None:
        agent.flight.phase = PARKED
    turn.tell(
        "job_paused_for_manual_restart",
        compiled.agent_id,
        {"agent_id": compiled.agent_id, "reason": reason},
    )
    turn.state.review = reason
    if turn.state.status is JobStatus.RUNNING:
        turn.move(JobStatus.PAUSED)
        turn.tell("job_paused", None, {"reason": reason})


# ---- silence ----


def watch_silence(turn: Turn) -> None:
    """Set the idle timer when the last work is gone, and clear it when there is some again."""
    timers = turn.state.timers
    if is_silent(turn):
        if IDLE_TIMER not in timers:
            turn.set_timer(IDLE_TIMER, Timer(turn.at + IDLE_S, IDLE_TIMER))
    elif IDLE_TIMER in timers:
        turn.clear_timer(IDLE_TIMER)


def is_silent(turn: Turn) -> bool:
    """Tell whether nothing moves in a batch job, and nothing is timed to."""
    state = turn.state
    if turn.job.service or state.status is not JobStatus.RUNNING or state.wants_more:
        return False
    if state.queue or state.ready or state.flights or state.holds:
        return False
    if state.people is not None and state.people.pending:
        return False
    if not all(is_over(state, name) for name in turn.job.live_inputs):
        return False
    return not state.timers or list(state.timers) == [IDLE_TIMER]


def is_over(state: JobState, live_input: str) -> bool:
    """Tell whether a live input brings nothing any more."""
    known = state.live_inputs.get(live_input)
    return known is not None and known.over


def idle_timer_fired(turn: Turn) -> None:
    """Complete the job with its newest output, if it still is silent."""
    if not is_silent(turn):
        return
    state = turn.state
    agent_id = turn.job.agents[state.last_agent].agent_id if state.last_agent >= 0 else None
    turn.tell("workflow_completion_inferred", agent_id, {"agent_id": agent_id, "idle_s": IDLE_S})
    turn.tell("job_completed", agent_id, {"agent_id": agent_id, "result": state.last_body})
    finish(turn, JobStatus.COMPLETED, {"agent_id": agent_id, "output": state.last_body})
