"""Attempts of steps and the work out for them: begun, timed, beating, closed, cut.

Source: bundle format 3.8.
"""

from itertools import islice

from msgspec.structs import replace

from mnedge.engine.ledger.state import ATTEMPTS_KEPT, Attempt, MessageRecord, StepState
from mnedge.engine.ledger.telling import tell_step
from mnedge.engine.route import make_ready
from mnedge.engine.state import PARKED, RUNNING, ModuleMemory, Timer
from mnedge.engine.turn import Turn
from mnedge.model.commands import StopAttempt
from mnedge.model.facts import Note
from mnedge.model.message import Message, iso_ms_or_none
from mnedge.model.states import AgentKind, AttemptStatus, StepStatus

NO_AGENT = -1
CUT_KEPT = 1000
RECORDS_KEPT = 10_000
MOST_SILENCE_MS = 1e12
"""However long a beacon says that the next may be away."""


def begin(turn: Turn, step: StepState, agent: int, message: Message) -> Attempt:
    """Begin the step's next attempt with the message that the agent takes."""
    ledger = turn.ledger
    number = step.attempt_count + 1
    key = step.retry_key or f"{turn.state.job_id}:{step.step_id}:{number}:{message.message_id}"
    step.retry_key = None
    attempt = Attempt(number, agent, message.message_id, key, turn.at)
    step.attempt_count = number
    step.attempts = [*step.attempts[1 - ATTEMPTS_KEPT :], attempt]
    keep_saved(turn, step, None)
    step.retry_at = None
    if step.started_at is None:
        step.started_at = turn.at
    step.status = StepStatus.RUNNING
    ledger.running += 1
    arm(turn, step, attempt)
    tell_step(
        turn,
        "workflow_step_attempt_started",
        step,
        deadline_at=iso_ms_or_none(attempt.deadline_at),
        heartbeat_deadline_at=iso_ms_or_none(attempt.heartbeat_deadline_at),
        idempotency_key=key,
        message_id=message.message_id,
    )
    return attempt


def keep_saved(turn: Turn, step: StepState, messages: list[Message] | None) -> None:
    """Keep these messages, and no others, for another attempt."""
    size_bytes = sum(message.weight_bytes for message in messages or ())
    turn.state.kept_bytes += size_bytes - step.saved_bytes
    step.saved, step.saved_bytes = messages, size_bytes


def arm(turn: Turn, step: StepState, attempt: Attempt) -> None:
    """Let the attempt's time begin now."""
    definition = turn.definition(step).step
    timeout_s, beat_ms = definition.timeout_s, definition.heartbeat_ms
    attempt.deadline_at = None if timeout_s is None else turn.at + timeout_s
    attempt.heartbeat_deadline_at = None if beat_ms is None else turn.at + beat_ms / 1000
    set_timers(turn, step, attempt)


def set_timers(turn: Turn, step: StepState, attempt: Attempt) -> None:
    """Have the attempt's deadlines fire."""
    deadline_at, beat_at = attempt.deadline_at, attempt.heartbeat_deadline_at
    if deadline_at is not None:
        timer = Timer(deadline_at, "deadline", step.number)
        turn.set_timer(f"step:{step.step_id}:deadline", timer)
    if beat_at is not None and (deadline_at is None or beat_at < deadline_at):
        turn.set_timer(f"step:{step.step_id}:heartbeat", Timer(beat_at, "heartbeat", step.number))


def clear_timers(turn: Turn, step: StepState) -> None:
    """Forget all that is timed for the step."""
    for name in ("deadline", "heartbeat", "retry"):
        turn.clear_timer(f"step:{step.step_id}:{name}")


def beacon(turn: Turn, note: Note) -> None:
    """Take a sign of life of a launch: its step's attempt may be silent so long again."""
    index = None
    for kind in (AgentKind.EXECUTOR, AgentKind.MODULE):
        index = turn.agent_at_work(note.work_id, note.launch, kind) if index is None else index
    if index is None:
        return
    flight = turn.state.agents[index].flight
    number = turn.ledger.step_of.get(flight.step_id or "") if flight is not None else None
    if flight is None or number is None:
        return
    step = turn.ledger.steps[number]
    attempt = step.current
    if attempt is None or attempt.number != flight.attempt:
        return
    definition = turn.definition(step).step
    given = note.payload.get("timeout_ms")
    timeout_ms = definition.heartbeat_ms
    if isinstance(given, int | float) and not isinstance(given, bool) and given > 0:
        timeout_ms = min(given, MOST_SILENCE_MS)
    at = max(float(note.at), attempt.last_beacon_at or 0.0)
    attempt.last_beacon_at = at
    timer_id = f"step:{step.step_id}:heartbeat"
    if timeout_ms is None:
        attempt.heartbeat_deadline_at = None
        turn.clear_timer(timer_id)
    else:
        attempt.heartbeat_deadline_at = at + timeout_ms / 1000
        timer = turn.state.timers.get(timer_id)
        if timer is None or timer.due_at > attempt.heartbeat_deadline_at:
            set_timers(turn, step, attempt)
    shown = {key: note.payload.get(key) for key in ("message", "source", "sequence")}
    status = note.payload.get("status")
    tell_step(
        turn,
        "workflow_step_beacon",
        step,
        **shown,
        status=status,
        heartbeat_deadline_at=iso_ms_or_none(attempt.heartbeat_deadline_at),
    )


def close(
    turn: Turn,
    step: StepState,
    status: AttemptStatus,
    reason: str | None = None,
    error: dict[str, object] | None = None,
    *,
    speaker: int = NO_AGENT,
) -> None:
    """End the step's current attempt, if it has one, and all that is out or timed for it.

    `speaker`: the agent whose worker said so; its launch goes on, for its output is wanted.
    """
    attempt = step.current
    if attempt is not None:
        attempt.status, attempt.ended_at = status, turn.at
        attempt.reason, attempt.error = reason, error
        failed = status is AttemptStatus.FAILED
        step.tries = step.tries + 1 if failed else 0
        record(turn, step, attempt.message_id, "failed" if failed else "acked", attempt.number)
    if step.status is StepStatus.RUNNING:
        turn.ledger.running -= 1
        step.status = StepStatus.PENDING  # whoever closes says what it is now
    cut(turn, step, reason or f"step {status}", speaker)
    clear_timers(turn, step)


def cut(turn: Turn, step: StepState, reason: str, speaker: int = NO_AGENT) -> None:
    """Stop what is out for the step; what it still answers is stale."""
    for index in turn.definition(step).agents:
        agent = turn.state.agents[index]
        flight = agent.flight
        if flight is None or flight.step_id != step.step_id or index == speaker:
            continue
        if flight.phase == RUNNING:
            turn.commands.append(StopAttempt(attempt_id=flight.work_id, reason=reason))
            _remember_cut(turn, flight.work_id, step.number, flight.attempt)
        if isinstance(agent.memory, ModuleMemory) and (
            flight.phase == RUNNING or flight.recovering
        ):
            agent.memory.crashed = True  # its worker is gone, or never had its recovery
        for name in ("startup", "restart"):
            turn.clear_timer(f"{name}:{turn.job.agents[index].agent_id}")
        if flight.message is not None:
            turn.state.queued_bytes -= flight.message.weight_bytes
        agent.flight = None
        turn.state.flights -= 1
        make_ready(turn, index)


def park_work(turn: Turn, step: StepState) -> None:
    """Stop what is out for the step until the job goes on; what must not be cut finishes."""
    for index in turn.definition(step).agents:
        compiled, agent = turn.agent(index)
        flight = agent.flight
        if (
            flight is None
            or flight.step_id != step.step_id
            or flight.phase != RUNNING
            or step.current is None
            or compiled.kind is not AgentKind.EXECUTOR
            or compiled.needs_review
        ):
            continue
        turn.commands.append(StopAttempt(attempt_id=flight.work_id, reason="job paused"))
        flight.launch += 1
        flight.phase = PARKED


def stale_answer(turn: Turn, work_id: str) -> None:
    """Tell of an answer that came after its attempt was over."""
    if turn.state.ledger is None:
        return
    place = turn.ledger.cut.pop(work_id, None)
    step = None if place is None else turn.ledger.steps.get(place[0])
    if place is None or step is None:
        return
    attempt = next((one for one in step.attempts if one.number == place[1]), None)
    if attempt is not None:
        tell_stale(turn, step, attempt)


def tell_stale(turn: Turn, step: StepState, attempt: Attempt) -> None:
    """Tell that something said for the attempt counts no more."""
    tell_step(
        turn,
        "workflow_step_stale_output_ignored",
        step,
        attempt,
        idempotency_key=attempt.idempotency_key,
        attempt_status=attempt.status.value,
    )


def tell_stale_number(turn: Turn, step: StepState, number: int | None) -> None:
    """Tell the same of an attempt by number, if the step still knows it."""
    attempt = next((one for one in step.attempts if one.number == number), None)
    if attempt is not None:
        tell_stale(turn, step, attempt)
        return
    tell_step(turn, "workflow_step_stale_output_ignored", step, attempt_number=number)


def record(
    turn: Turn,
    step: StepState,
    message: Message | str,
    status: str,
    attempt: int = 0,
    reason: str | None = None,
) -> None:
    """Keep what became of a message; of the oldest that are over, some are forgotten."""
    messages = turn.ledger.messages
    if isinstance(message, str):
        known = messages.get(message)
        if known is not None:
            messages[message] = replace(
                known, status=status, at=turn.at, attempt=attempt or known.attempt, reason=reason
            )
        return
    messages.pop(message.message_id, None)
    messages[message.message_id] = MessageRecord(
        step.step_id, status, turn.at, message.type, message.sender, message.to, attempt, reason
    )
    if len(messages) > RECORDS_KEPT + RECORDS_KEPT // 10:
        for oldest in list(islice(messages, len(messages) - RECORDS_KEPT)):
            del messages[oldest]


def _remember_cut(turn: Turn, work_id: str, step: int, attempt: int) -> None:
    known = turn.ledger.cut
    known[work_id] = (step, attempt)
    if len(known) > CUT_KEPT:
        del known[next(iter(known))]
