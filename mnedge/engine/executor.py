"""Executors: one message at a time goes out as an attempt, its outcome comes back as a fact.

Source: worker contract 2.7 to 2.9.
"""

from typing import Any

from mnedge.engine import people
from mnedge.engine.actions import complete, send
from mnedge.engine.job import fail
from mnedge.engine.ledger import reports
from mnedge.engine.ledger.context import step_context, work_key
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.run import complete_run
from mnedge.engine.ledger.settle import attempt_failed
from mnedge.engine.ledger.work import stale_answer
from mnedge.engine.restart import crashed
from mnedge.engine.route import Draft, emit, make_ready
from mnedge.engine.state import PARKED, RUNNING, STARTING, AgentState, ExecutorMemory, Flight, Timer
from mnedge.engine.turn import Turn
from mnedge.model.body import weight_of
from mnedge.model.commands import RunAttempt
from mnedge.model.facts import AttemptEnded, Outcome, Structured
from mnedge.model.failure import failure_text
from mnedge.model.ids import plain_id
from mnedge.model.message import Message
from mnedge.model.states import TERMINAL, AgentKind, AttemptStatus, OutcomeStatus

RESULT_HEADERS = {
    "schema_ref": "com.mirrorneuron.executor.result",
    "schema_version": "1.0.0",
}
INPUT_LEVELS = 6
"""An output carries its input, which carries its own, …: the innermost of so many is null."""
_UNDONE = (AttemptStatus.FAILED, AttemptStatus.CHECKPOINTED)
_SDK_FIELDS = (
    "outputs", "artifacts", "metrics", "status", "workflow_step_id", "run_id",
    "runtime_step_mode", "_mn_step",
)  # fmt: skip


def take(turn: Turn, index: int, message: Message) -> None:
    """Start handling a message: an attempt, after the startup delay if it is the agent's first."""
    compiled, agent = turn.agent(index)
    memory = memory_of(agent)
    agent.flight = Flight(f"{compiled.agent_id}:{plain_id(message.message_id)}", message)
    bind(turn, agent.flight)
    turn.state.flights += 1
    turn.state.queued_bytes += message.weight_bytes
    if compiled.startup_delay_s and not memory.started:
        agent.flight.phase = STARTING
        due_at = turn.at + compiled.startup_delay_s
        turn.set_timer(f"startup:{compiled.agent_id}", Timer(due_at, "startup", index))
        return
    launch(turn, index)


def memory_of(agent: AgentState) -> ExecutorMemory:
    """Return what the executor remembers."""
    if not isinstance(agent.memory, ExecutorMemory):
        agent.memory = ExecutorMemory()
    return agent.memory


def launch(turn: Turn, index: int) -> None:
    """Ask for the attempt's current launch."""
    compiled, agent = turn.agent(index)
    flight, memory = agent.flight, memory_of(agent)
    if flight is None or flight.message is None:
        raise ValueError(f"{compiled.agent_id} has nothing to launch")
    if not turn.running:
        flight.phase = PARKED
        return
    flight.phase = RUNNING
    memory.started = True
    turn.commands.append(
        RunAttempt(
            attempt_id=flight.work_id,
            launch=flight.launch,
            agent_id=compiled.agent_id,
            message=flight.message,
            invocation=agent.processed + 1,
            agent_state={} if memory.agent_state is None else memory.agent_state,
            idempotency_key=work_key(turn, flight),
            workflow=step_context(turn, flight),
        )
    )


def attempt_ended(turn: Turn, fact: AttemptEnded) -> None:
    """Take the answer of an attempt's current launch; any other answer changes nothing."""
    index = turn.agent_at_work(fact.attempt_id, fact.launch, AgentKind.EXECUTOR)
    if index is None:
        stale_answer(turn, fact.attempt_id)
        return
    agent = turn.state.agents[index]
    flight = agent.flight
    if flight is None or flight.message is None:
        return
    memory = memory_of(agent)
    enter(turn, flight)
    if is_orphan(turn, flight) and fact.outcome.status is not OutcomeStatus.SUCCEEDED:
        _land(turn, index)
        make_ready(turn, index)
        return
    match fact.outcome.status:
        case OutcomeStatus.SUCCEEDED:
            _land(turn, index)
            _succeeded(turn, index, flight, fact.outcome, memory)
        case OutcomeStatus.STOPPED:
            memory.last_error = "the attempt was stopped from outside"
            if turn.step != NO_STEP:
                _land(turn, index)
                step = turn.ledger.steps[turn.step]
                attempt_failed(turn, step, memory.last_error, number=flight.attempt)
            else:
                crashed(turn, index, memory.last_error)
        case OutcomeStatus.FAILED:
            _failed(turn, index, flight, fact.outcome, memory)
    make_ready(turn, index)


def bind(turn: Turn, flight: Flight) -> None:
    """Note which step, and which attempt of it, the flight works for."""
    if turn.step == NO_STEP:
        return
    step = turn.ledger.steps[turn.step]
    current = step.current
    flight.step_id = step.step_id
    flight.attempt = 0 if current is None else current.number


def enter(turn: Turn, flight: Flight) -> None:
    """Act for the flight's step from here on."""
    turn.step = NO_STEP
    if flight.step_id is not None and turn.state.ledger is not None:
        turn.step = turn.ledger.step_of.get(flight.step_id, NO_STEP)


def is_orphan(turn: Turn, flight: Flight) -> bool:
    """Tell whether the flight's step has left the graph: how it ends changes nothing."""
    return flight.step_id is not None and turn.step == NO_STEP


def _land(turn: Turn, index: int) -> None:
    """The message was handled."""
    agent = turn.state.agents[index]
    flight = agent.flight
    if flight is not None and flight.message is not None:
        turn.state.queued_bytes -= flight.message.weight_bytes
    agent.flight = None
    turn.state.flights -= 1
    agent.processed += 1


def _succeeded(
    turn: Turn, index: int, flight: Flight, outcome: Outcome, memory: ExecutorMemory
) -> None:
    message = flight.message
    if message is None:
        return
    structured = outcome.structured or Structured()
    payload = output_payload(turn.job.agents[index].agent_id, message, outcome)
    memory.runs += 1
    memory.last_error = None
    memory.output = payload
    if structured.has_next_state:
        memory.agent_state = structured.next_state
    _weigh(turn, memory)
    _act(turn, index, flight, message, outcome, structured, payload)


def _weigh(turn: Turn, memory: ExecutorMemory) -> None:
    before = memory.weight_bytes
    memory.weight_bytes = weight_of(memory.agent_state) + weight_of(memory.output)
    turn.state.kept_bytes += memory.weight_bytes - before


def _act(
    turn: Turn,
    index: int,
    flight: Flight,
    message: Message,
    outcome: Outcome,
    structured: Structured,
    payload: dict[str, Any],
) -> None:
    """Carry out the actions, control before emissions; none once the job is over."""
    compiled = turn.job.agents[index]
    state = turn.state
    turn.tell("sandbox_job_completed", compiled.agent_id, _completed_payload(outcome.result))
    number = turn.step
    for event in structured.events:
        if event.type in people.SPOKEN:
            people.told(turn, index, event, flight)
            continue
        turn.tell(event.type, compiled.agent_id, event.payload, step_id=flight.step_id)
        reports.report(turn, index, event, flight.attempt)
        if state.status in TERMINAL:
            return
    completions = [] if is_orphan(turn, flight) else structured.completions
    for completion in sorted(completions, key=lambda one: one.scope != "step"):
        result = payload if completion.default else completion.value
        complete(turn, index, completion.scope, result, flight.attempt)
        if state.status in TERMINAL:
            return
    if number != NO_STEP and compiled.completes_step and not completions:
        # What came in is not what the step brings forth: kept, it would grow from step to step.
        own = {key: value for key, value in payload.items() if key != "input"}
        complete_if_current(turn, number, flight.attempt, own)
    undone = number != NO_STEP and _is_undone(turn, number, flight.attempt)
    action = 1 + len(structured.events) + len(completions)
    if compiled.emits is not None and not undone:
        _emit_result(turn, index, message, compiled.emits, payload, action)
        action += 1
    if compiled.completes and flight.step_id is None:
        complete_run(turn, index, payload)
        action += 1
    for emission in structured.emissions:
        if state.status in TERMINAL:
            return
        send(turn, index, message, emission, action)
        action += 1


def _is_undone(turn: Turn, number: int, attempt_number: int) -> bool:
    """Tell whether the worker has made its own attempt fail, or its step goes on after it."""
    return any(
        attempt.number == attempt_number and attempt.status in _UNDONE
        for attempt in turn.ledger.steps[number].attempts
    )


def complete_if_current(turn: Turn, number: int, attempt_number: int, payload: Any) -> None:
    """Complete the step as success implies, unless its worker has settled it otherwise."""
    step = turn.ledger.steps.get(number)
    current = None if step is None else step.current
    if step is not None and current is not None and current.number == attempt_number:
        reports.complete(turn, step, attempt_number, payload)


def _completed_payload(result: dict[str, Any]) -> dict[str, Any]:
    lease = result.get("lease")
    lease = lease if isinstance(lease, dict) else {}
    return {
        "sandbox_name": result.get("sandbox_name"),
        "exit_code": result.get("exit_code"),
        "attempts": result.get("attempts"),
        "lease_id": lease.get("lease_id"),
        "pool": lease.get("pool"),
    }


def _emit_result(
    turn: Turn,
    index: int,
    message: Message,
    message_type: str,
    payload: dict[str, Any],
    action: int,
) -> None:
    draft = Draft(
        message,
        message_type,
        payload,
        action=action,
        class_="event",
        headers=RESULT_HEADERS,
        hops=1,
    )
    emit(turn, index, draft)


def output_payload(agent_id: str, message: Message, outcome: Outcome) -> dict[str, Any]:
    """Return the default emission's body: `agent_id`, `sandbox`, `input`, SDK step result."""
    payload: dict[str, Any] = {}
    if outcome.sdk_result is not None:
        payload = {key: outcome.sdk_result[key] for key in _SDK_FIELDS if key in outcome.sdk_result}
    payload["agent_id"] = agent_id
    payload["sandbox"] = outcome.result
    payload["input"] = _nested(message.body, INPUT_LEVELS)
    return payload


def _nested(body: Any, levels: int) -> Any:
    """Return the body as an output's `input`: itself while its own inputs do not nest too deep.

    The inner levels lose the copies that a result map makes of its stdout (`logs`, `raw_output`).
    """
    if not isinstance(body, dict) or not isinstance(body.get("sandbox"), dict):
        return body
    if "input" not in body:
        return body
    slim = {**body, "sandbox": _slim(body["sandbox"])}
    slim["input"] = None if levels <= 1 else _nested(body["input"], levels - 1)
    return slim


def _slim(sandbox: dict[str, Any]) -> dict[str, Any]:
    stdout = sandbox.get("stdout")
    return {
        key: value
        for key, value in sandbox.items()
        if key not in ("logs", "raw_output") or value != stdout
    }


def _failed(
    turn: Turn, index: int, flight: Flight, outcome: Outcome, memory: ExecutorMemory
) -> None:
    compiled = turn.job.agents[index]
    error = outcome.error if outcome.error is not None else outcome.result
    text = failure_text(error)
    memory.last_error = text
    if turn.step != NO_STEP and _is_undone(turn, turn.step, flight.attempt):
        _land(turn, index)
    elif compiled.failure_type is not None and flight.message is not None:
        _land(turn, index)
        _fall_back(turn, index, flight, flight.message, outcome, compiled.failure_type)
    elif turn.step != NO_STEP:
        _land(turn, index)
        attempt_failed(turn, turn.ledger.steps[turn.step], error, number=flight.attempt)
    elif compiled.restart.declared:
        crashed(turn, index, text, error=error)
    else:
        _land(turn, index)
        fail(turn, compiled.agent_id, error, **_attempts(error))


def _attempts(error: Any) -> dict[str, Any]:
    attempts = error.get("attempts") if isinstance(error, dict) else None
    return {"attempt": attempts} if isinstance(attempts, int) else {}


def _fall_back(
    turn: Turn, index: int, flight: Flight, message: Message, outcome: Outcome, message_type: str
) -> None:
    """Turn the failure into a message."""
    agent_id = turn.job.agents[index].agent_id
    error = outcome.error if outcome.error is not None else outcome.result
    turn.tell("executor_fallback_dispatched", agent_id, {"agent_id": agent_id, "error": error})
    payload = {
        "agent_id": agent_id,
        "outputs": {"error": error, "fallback_used": True, "failed_agent_id": agent_id},
        "artifacts": [],
        "status": "failed",
    }
    if turn.step != NO_STEP and turn.job.agents[index].completes_step:
        complete_if_current(turn, turn.step, flight.attempt, payload)
    _emit_result(turn, index, message, message_type, payload, 1)
