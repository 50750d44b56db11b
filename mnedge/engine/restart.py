"""Agents that crashed: started again by policy, with their state and the message they had.

Source: worker contract 5.6.
"""

from typing import Any

from mnedge.engine.job import fail, park
from mnedge.engine.restart_policy import recent
from mnedge.engine.state import RESTARTING, Timer
from mnedge.engine.turn import Turn


def crashed(turn: Turn, index: int, reason: str, *, error: Any = None) -> None:
    """Schedule the agent's restart; its flight stays, and its next launch is another."""
    compiled, agent = turn.agent(index)
    policy, flight = compiled.restart, agent.flight
    if flight is None:
        raise ValueError(f"{compiled.agent_id} crashed with nothing under way")
    flight.launch += 1
    flight.phase = RESTARTING
    starts = recent(agent.restarts or [], now=turn.at, interval_ms=policy.interval_ms)
    agent.restarts = starts or None
    attempt = len(starts) + 1
    if not policy.enabled and turn.job.spec.recovery_mode == "manual_recover":
        park(turn, index, reason)
    elif attempt <= policy.attempts and policy.enabled:
        delay_ms = policy.delay_before(attempt)
        due_at = turn.at + delay_ms / 1000
        payload = {
            "agent_id": compiled.agent_id,
            "reason": reason,
            "job_type": turn.job.spec.job_type,
            "attempt": attempt,
            "delay_ms": delay_ms,
            "next_eligible_at": due_at,
            "restart_policy": policy.shown(),
        }
        turn.tell("agent_restart_scheduled", compiled.agent_id, payload)
        turn.set_timer(f"restart:{compiled.agent_id}", Timer(due_at, "restart", index))
    elif policy.mode == "delay" and starts:
        _defer(turn, index, starts[0] + policy.interval_ms / 1000)
    else:
        _exhausted(turn, index, reason, error)


def _defer(turn: Turn, index: int, retry_at: float) -> None:
    """Wait until the oldest restart no longer counts."""
    compiled = turn.job.agents[index]
    payload = {
        "agent_id": compiled.agent_id,
        "exhausted_reason": _exhausted_text(turn, index),
        "retry_at": retry_at,
        "delay_ms": max(int((retry_at - turn.at) * 1000), 0),
    }
    turn.tell("agent_restart_deferred", compiled.agent_id, payload)
    turn.set_timer(f"restart:{compiled.agent_id}", Timer(retry_at, "restart", index))


def _exhausted(turn: Turn, index: int, reason: str, error: Any) -> None:
    compiled = turn.job.agents[index]
    if not compiled.restart.enabled:
        fail(turn, compiled.agent_id, reason if error is None else error)
        return
    text = _exhausted_text(turn, index)
    fail(
        turn,
        "job_coordinator",
        {"error": text, "failed_agent_id": compiled.agent_id, "reason": reason},
        component="job_coordinator",
        code="runtime.agent.restarts_exhausted",
        max_attempts=compiled.restart.attempts,
        cause=reason,
    )


def _exhausted_text(turn: Turn, index: int) -> str:
    compiled = turn.job.agents[index]
    return f"agent {compiled.agent_id} exceeded restart attempts ({compiled.restart.attempts})"


def restart_begins(turn: Turn, index: int) -> None:
    """Count the restart and tell of it; the caller launches."""
    compiled, agent = turn.agent(index)
    starts = recent(agent.restarts or [], now=turn.at, interval_ms=compiled.restart.interval_ms)
    agent.restarts = [*starts, turn.at]
    payload = {"agent_id": compiled.agent_id, "attempt": len(agent.restarts)}
    turn.tell("agent_recovery_started", compiled.agent_id, payload)


def recovered(turn: Turn, index: int) -> None:
    """Tell that the agent is itself again."""
    compiled, agent = turn.agent(index)
    payload = {"agent_id": compiled.agent_id, "attempt": len(agent.restarts or ())}
    turn.tell("agent_recovered", compiled.agent_id, payload)
