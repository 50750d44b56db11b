"""Gates: routers that keep a message until a person has decided about it.

Source: bundle format 2.8 (control_approval_gate), 7.3.
"""

from typing import Any

from mnedge.engine.asking import (
    GATE,
    REQUIRED,
    TOO_MANY,
    ask,
    control_of,
    free_id,
    question,
    step_at_work,
)
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.settle import attempt_failed
from mnedge.engine.primitives import complete_alone, route_on
from mnedge.engine.route import Draft, dead_letter, emit, emit_to
from mnedge.engine.settings import mapping, named
from mnedge.engine.state import Request
from mnedge.engine.turn import Turn
from mnedge.model.manifest import HumanControl
from mnedge.model.message import Message
from mnedge.model.states import TERMINAL


def hold(turn: Turn, index: int, message: Message) -> None:
    """Keep the message until a person has decided; pass it on if nobody needs to."""
    compiled, agent = turn.agent(index)
    control = _gate_control(turn, index)
    if control.mode == "disabled":
        route_on(turn, index, message)
        return
    step = step_at_work(turn)
    about = {
        "agent_id": compiled.agent_id,
        "step_id": None if step is None else step.step_id,
        "message_id": message.message_id,
        "input": message.body,
    }
    if control.mode == "notice_only":
        notice = {"prompt": control.prompt, "blocked_actions": control.blocked_actions, **about}
        turn.tell("human_notice", compiled.agent_id, notice, step_id=about["step_id"])
        route_on(turn, index, message)
        return
    agent.processed += 1
    request = Request(
        free_id(turn, compiled.agent_id),
        GATE,
        question(control, about),
        control.allowed_decisions,
        control.default_action,
        agent=index,
        message=message,
    )
    if not ask(turn, request, control.timeout_s):
        dead_letter(turn, message, TOO_MANY)


def _gate_control(turn: Turn, index: int) -> HumanControl:
    """Return what the gate's config says, and the job where it is silent."""
    config = turn.job.agents[index].agent.config
    common = turn.job.spec.human
    mode = config.get("approval_mode")
    return control_of(
        {**config, "timeout_seconds": config.get("approval_timeout_seconds")},
        common,
        mode if mode in ("disabled", "notice_only") else REQUIRED,
    )


def open_gate(turn: Turn, request: Request, message: Message, payload: dict[str, Any]) -> None:
    """Send the gate's message on as the decision wants it, or not at all."""
    compiled = turn.job.agents[request.agent]
    message_type = _type_for(compiled.agent.config, payload, compiled.emits or message.type)
    if message_type is None:
        if turn.step != NO_STEP:
            late = payload["source"] == "timeout"
            reason = "not approved in time" if late else "rejected by a person"
            code = "human.timeout" if late else "human.rejected"
            step = turn.ledger.steps[turn.step]
            attempt_failed(turn, step, reason, code=code, final=True)
        return
    kept = message.body if isinstance(message.body, dict) else {"input": message.body}
    body = {**kept, "human": payload}
    complete_alone(turn, body)
    if turn.state.status in TERMINAL:
        return
    draft = Draft(message, message_type, body)
    if compiled.target is not None:
        emit_to(turn, request.agent, compiled.target, draft)
    else:
        emit(turn, request.agent, draft)


def _type_for(config: dict[str, Any], payload: dict[str, Any], approved_type: str) -> str | None:
    """Return the type under which the message goes on; None: it does not."""
    declared = named(mapping(config.get("decision_message_types")).get(payload["decision"]))
    if declared is not None:
        return declared
    return approved_type if payload["approved"] else named(config.get("rejected_message_type"))
