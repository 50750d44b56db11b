"""The gate before execution: which message an agent may take now, and for which attempt.

Source: worker contract 5.9 (how mnedge gates).
"""

from collections import deque

from msgspec.structs import replace

from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.headers import ATTEMPT_ID, STEP_ID, attempt_id, decorated
from mnedge.engine.ledger.places import has_place, stand_in_line
from mnedge.engine.ledger.state import StepState
from mnedge.engine.ledger.telling import tell_step
from mnedge.engine.ledger.triggers import blocked_on, satisfied
from mnedge.engine.ledger.work import begin, keep_saved, record, tell_stale
from mnedge.engine.route import dead_letter, make_ready
from mnedge.engine.turn import Turn
from mnedge.model.message import Message
from mnedge.model.states import TERMINAL_STEP, StepStatus

WAITING_AT_MOST = 10_000
"""Messages that wait for one step; those beyond are dead letters."""
SAVED_AT_MOST = 10_000
"""Messages of one attempt that a retry delivers again: the newest."""


def step_for(turn: Turn, index: int, message: Message) -> int:
    """Return the number of the step that a message for this agent belongs to, or `NO_STEP`."""
    compiled, ledger = turn.compiled_ledger, turn.ledger
    named = message.headers.get(STEP_ID)
    if isinstance(named, str):
        number = ledger.step_of.get(named)
        if number is not None and index in turn.definition(ledger.steps[number]).agents:
            return number
    return compiled.step_of_agent.get(index, NO_STEP)


def admit(turn: Turn, index: int, message: Message, *, released: bool = False) -> Message | None:
    """Return the message as its attempt takes it, or None: it waits, or nobody wants it.

    `released`: it has waited for its step, and comes up now.
    """
    number = step_for(turn, index, message)
    turn.step = number
    if _is_of_gone_step(turn, index, message):
        return None
    if number == NO_STEP:
        return message
    step = turn.ledger.steps[number]
    if step.status in TERMINAL_STEP:
        ignore(turn, step, message)
        return None
    if _is_stale(turn, step, message):
        return None
    attempt = step.current
    if not released and not _may_go_on(turn, step, message):
        return None
    if attempt is None:
        attempt = begin(turn, step, index, message)
        leave_line(turn, step)
        _come_first(turn, step)
    _save(turn, step, message)
    step.last_message_id = message.message_id
    record(turn, step, message, "running", attempt.number)
    return decorated(turn, step, attempt, message)


def _is_of_gone_step(turn: Turn, index: int, message: Message) -> bool:
    """Tell whether the message is for a step that has left the graph since."""
    step_id = message.headers.get(STEP_ID)
    if not isinstance(step_id, str) or step_id in turn.ledger.step_of:
        return False
    compiled = turn.compiled_ledger
    only_for_templates = index in compiled.reaches and index not in compiled.step_of_agent
    if ATTEMPT_ID not in message.headers and not only_for_templates:
        return False  # from outside, where a step may be called as one likes
    payload = {
        "step_id": step_id,
        "agent_id": message.to,
        "message_id": message.message_id,
        "message_type": message.type,
        "reason": "the step has left the graph",
    }
    turn.tell("workflow_step_duplicate_message_ignored", message.to, payload, step_id=step_id)
    return True


def _may_go_on(turn: Turn, step: StepState, message: Message) -> bool:
    """Tell whether a message that has not waited yet may be taken; if not, it waits from now on."""
    if step.status is StepStatus.RETRY_WAIT or _rests(turn, step):
        _wait(turn, step, message)
        return False
    if step.current is None and not satisfied(step, turn.definition(step).step):
        step.status = StepStatus.BLOCKED
        if _wait(turn, step, message):
            tell_step(
                turn,
                "workflow_step_blocked",
                step,
                reason="waiting for workflow dependencies",
                message_id=message.message_id,
                blocked_on=blocked_on(turn, step),
            )
        return False
    if step.waiting or (step.current is None and not has_place(turn, step)):
        _wait(turn, step, message)
        if step.status in (StepStatus.QUEUED, StepStatus.RUNNING):
            _become_due(turn, step, turn.job.index_of[message.to])
        else:
            release(turn, step)
        return False
    return True


def _rests(turn: Turn, step: StepState) -> bool:
    """Tell whether the step waits for other steps rather than for its next message."""
    if step.status is not StepStatus.WAITING:
        return False
    fan_out = turn.ledger.fan_outs.get(step.number)
    return fan_out is None or bool(fan_out.patch_id)


def _is_stale(turn: Turn, step: StepState, message: Message) -> bool:
    """Tell whether the message was sent inside an attempt of this step that is over.

    A lone agent keeps its state from attempt to attempt, so what it sent itself still counts.
    """
    sent_in = message.headers.get(ATTEMPT_ID)
    if not isinstance(sent_in, str) or turn.definition(step).is_alone:
        return False
    current = step.current
    if current is not None and sent_in == attempt_id(step, current):
        return False
    for attempt in step.attempts:
        if sent_in == attempt_id(step, attempt):
            record(turn, step, message, "ignored", attempt.number, "stale attempt")
            tell_stale(turn, step, attempt)
            return True
    return False


def _save(turn: Turn, step: StepState, message: Message) -> None:
    """Keep the message for a retry: the newest, or in a step of many agents all from outside."""
    saved = step.saved
    if turn.definition(step).is_alone or saved is None:
        keep_saved(turn, step, [message])
    elif ATTEMPT_ID not in message.headers:
        saved.append(message)
        change_bytes = message.weight_bytes
        if len(saved) > SAVED_AT_MOST:
            change_bytes -= saved.pop(0).weight_bytes
        step.saved_bytes += change_bytes
        turn.state.kept_bytes += change_bytes


def _wait(turn: Turn, step: StepState, message: Message) -> bool:
    """Let the message wait for its step; tell whether there was room."""
    if step.waiting is None:
        step.waiting = deque()
    if len(step.waiting) >= WAITING_AT_MOST:
        dead_letter(turn, message, f"more than {WAITING_AT_MOST} messages wait for a step")
        return False
    step.waiting.append(message)
    turn.state.queued_bytes += message.weight_bytes
    record(turn, step, message, "blocked")
    return True


def put_first(turn: Turn, step: StepState, messages: list[Message]) -> None:
    """Let these messages wait before all others."""
    if step.waiting is None:
        step.waiting = deque()
    step.waiting.extendleft(reversed(messages))
    turn.state.queued_bytes += sum(message.weight_bytes for message in messages)


def release(turn: Turn, step: StepState) -> None:
    """Let the agents take what waits for the step."""
    if step.status is not StepStatus.RUNNING:
        step.status = StepStatus.QUEUED
        if not step.ticket:
            turn.ledger.tickets += 1
            step.ticket = turn.ledger.tickets
    for name in dict.fromkeys(message.to for message in step.waiting or ()):
        _become_due(turn, step, turn.job.index_of[name])


def _become_due(turn: Turn, step: StepState, index: int) -> None:
    """Let the agent take what waits for it with a step that is queued or runs."""
    agent = turn.state.agents[index]
    if index not in step.due:
        if agent.due is None:
            agent.due = deque()
        agent.due.append(step.number)
        step.due = [*step.due, index]
        if step.status is StepStatus.RUNNING:
            _come_first(turn, step)
    if agent.due and agent.due[0] == step.number:
        stand_in_line(turn, index)
    make_ready(turn, index)


def leave_line(turn: Turn, step: StepState) -> None:
    """Let the step wait for a place no longer."""
    step.ticket = 0
    for index in list(step.due):
        stand_in_line(turn, index)
        make_ready(turn, index)  # what waits for it is part of the attempt now


def _come_first(turn: Turn, step: StepState) -> None:
    """Let agents work for a step that runs before any that waits for a place: it has one."""
    if turn.compiled_ledger.workflow.max_parallel_steps is None:
        return
    for index in step.due:
        agent = turn.state.agents[index]
        if agent.due and agent.due[0] != step.number and _waits_for_place(turn, agent.due[0]):
            agent.due.remove(step.number)
            agent.due.appendleft(step.number)
            stand_in_line(turn, index)
            make_ready(turn, index)


def _waits_for_place(turn: Turn, number: int) -> bool:
    step = turn.ledger.steps.get(number)
    return step is not None and step.current is None


def take_due(turn: Turn, index: int) -> Message | None:
    """Return the next message that has waited for its step and may be taken now."""
    compiled, agent = turn.agent(index)
    while agent.due:
        step = turn.ledger.steps.get(agent.due[0])
        if step is None or not _is_due(step, compiled.agent_id):
            _forget_due(turn, step, index)
            continue
        if step.current is None and not has_place(turn, step):
            break
        message = _first_for(step, compiled.agent_id)
        turn.state.queued_bytes -= message.weight_bytes
        if not any(other.to == compiled.agent_id for other in step.waiting or ()):
            _forget_due(turn, step, index)
        if message.headers.get(STEP_ID) != step.step_id:
            message = replace(message, headers={**message.headers, STEP_ID: step.step_id})
        return message
    return None


def _is_due(step: StepState, agent_id: str) -> bool:
    """Tell whether the step still wants the agent to take what waits."""
    if step.status not in (StepStatus.QUEUED, StepStatus.RUNNING):
        return False
    return any(message.to == agent_id for message in step.waiting or ())


def _forget_due(turn: Turn, step: StepState | None, index: int) -> None:
    """Take the agent's first due step off its list."""
    agent = turn.state.agents[index]
    if agent.due:
        agent.due.popleft()
    if not agent.due:
        agent.due = None
    if step is not None:
        step.due = [other for other in step.due if other != index]
    stand_in_line(turn, index)


def _first_for(step: StepState, agent_id: str) -> Message:
    """Take out the first message that waits for this agent; there is one."""
    waiting = step.waiting or deque()
    message = next(one for one in waiting if one.to == agent_id)
    if waiting[0] is message:
        waiting.popleft()
    else:
        waiting.remove(message)
    if not waiting:
        step.waiting = None
    return message


def ignore(turn: Turn, step: StepState, message: Message) -> None:
    """Take a message that comes too late, and do nothing."""
    record(turn, step, message, "ignored", reason=f"step is {step.status}")
    tell_step(
        turn,
        "workflow_step_duplicate_message_ignored",
        step,
        message_id=message.message_id,
        message_type=message.type,
    )


def ignore_waiting(turn: Turn, step: StepState) -> None:
    """Drop what waits for a step that will not run (again)."""
    for message in step.waiting or ():
        turn.state.queued_bytes -= message.weight_bytes
        ignore(turn, step, message)
    step.waiting = None
