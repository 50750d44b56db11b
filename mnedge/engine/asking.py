"""Requests that wait for a person: asked, told of, and no longer asked.

Source: bundle format 6.11, 7.3.
"""

from typing import Any

from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.state import Attempt, StepState
from mnedge.engine.settings import named
from mnedge.engine.state import People, Request, Timer
from mnedge.engine.turn import Turn
from mnedge.model.body import weight_of
from mnedge.model.manifest import HumanControl

REQUESTED = "human_input_requested"
REQUIRED = "approval_required"
APPROVE = "approve"

GATE, TOLD, LIVE, WRITTEN = "gate", "told", "live", "written"
"""Who asks: a gate; a worker that has answered; one at work; a line in `human.jsonl`."""

PENDING_AT_MOST = 1000
TOO_MANY = "too many requests wait for a person"
ANSWERED_KEPT = 256


def people_of(turn: Turn) -> People:
    """Return what was asked and heard, kept from now on."""
    if turn.state.people is None:
        turn.state.people = People()
    return turn.state.people


def step_at_work(turn: Turn) -> StepState | None:
    """Return the step that is acted for, if any."""
    return None if turn.step == NO_STEP else turn.ledger.steps.get(turn.step)


def free_id(turn: Turn, name: str) -> str:
    """Return an id for a request that gives itself none."""
    people = people_of(turn)
    while True:
        people.count += 1
        request_id = f"{name}-{people.count}"
        if request_id not in people.pending and request_id not in people.answered:
            return request_id


def control_of(given: dict[str, Any], common: HumanControl, mode: str) -> HumanControl:
    """Return what is said of one request, and the job where it is silent."""
    allowed, blocked = given.get("allowed_decisions"), given.get("blocked_actions")
    timeout_s = given.get("timeout_seconds")
    if not isinstance(timeout_s, int | float) or isinstance(timeout_s, bool) or timeout_s <= 0:
        timeout_s = common.timeout_s
    return HumanControl(
        mode=mode,
        allowed_decisions=_texts(allowed) or common.allowed_decisions or [APPROVE, "reject"],
        timeout_s=timeout_s,
        default_action=named(given.get("default_action")) or common.default_action,
        blocked_actions=_texts(blocked) if isinstance(blocked, list) else common.blocked_actions,
        prompt=named(given.get("prompt")) or common.prompt,
    )


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str) and one] if isinstance(value, list) else []


def question(control: HumanControl, about: dict[str, Any]) -> dict[str, Any]:
    """Return a request's payload, without its id."""
    return {
        **about,
        "prompt": control.prompt,
        "allowed_decisions": control.allowed_decisions,
        "status": "pending",
        "timeout_seconds": control.timeout_s,
        "default_action": control.default_action,
        "blocked_actions": control.blocked_actions,
    }


def ask(turn: Turn, request: Request, timeout_s: float | None) -> bool:
    """Let the request wait, and tell of it; tell whether there was room."""
    people = people_of(turn)
    request_id = request.request_id
    request.payload = {"request_id": request_id, **request.payload, "status": "pending"}
    request.payload["request_id"] = request_id
    step = step_at_work(turn)
    if step is not None and step.current is not None:
        request.step, request.attempt = step.number, step.current.number
    if len(people.pending) >= PENDING_AT_MOST:
        reject(turn, request_id, None, TOO_MANY, request)
        return False
    request.asked_at = turn.at
    request.due_at = None if timeout_s is None else turn.at + timeout_s
    request.weight_bytes = weight_of(request.payload)
    if request.message is not None:
        request.weight_bytes += request.message.weight_bytes
    turn.state.kept_bytes += request.weight_bytes
    people.pending[request_id] = request
    tell(turn, REQUESTED, request, request.payload)
    if request.due_at is not None and turn.running:
        set_timer(turn, request, request.due_at)
    return True


def set_timer(turn: Turn, request: Request, due_at: float) -> None:
    """Have the request time out."""
    turn.set_timer(f"human:{request.request_id}", Timer(due_at, "human"))


def tell(turn: Turn, name: str, request: Request, payload: dict[str, Any]) -> None:
    """Tell of a request, as its asker and its step."""
    agent_id = None if request.agent < 0 else turn.job.agents[request.agent].agent_id
    step_id = None
    if request.step != NO_STEP and request.step in turn.ledger.steps:
        step_id = turn.ledger.steps[request.step].step_id
    turn.tell(name, agent_id, payload, step_id=step_id)


def reject(
    turn: Turn, request_id: Any, decision: Any, reason: str, request: Request | None
) -> None:
    """Tell that what somebody asked or answered does not count."""
    payload = {
        "request_id": request_id,
        "decision": decision,
        "allowed_decisions": [] if request is None else request.allowed,
        "reason": reason,
    }
    if request is None:
        turn.tell("human_input_rejected", None, payload)
    else:
        tell(turn, "human_input_rejected", request, payload)


def forget(turn: Turn, request: Request, why: str) -> None:
    """Let the request wait no more; its id is remembered for a while."""
    people = people_of(turn)
    del people.pending[request.request_id]
    turn.state.kept_bytes -= request.weight_bytes
    turn.clear_timer(f"human:{request.request_id}")
    people.answered.pop(request.request_id, None)
    people.answered[request.request_id] = why
    if len(people.answered) > ANSWERED_KEPT:
        del people.answered[next(iter(people.answered))]


def place_of(turn: Turn, request: Request) -> tuple[StepState, Attempt] | None:
    """Return the step and the attempt that the request is asked in, if that is current."""
    if request.step == NO_STEP:
        return None
    step = turn.ledger.steps.get(request.step)
    current = None if step is None else step.current
    if step is None or current is None or current.number != request.attempt:
        return None
    return step, current


def rests(request: Request) -> bool:
    """Tell whether the step's attempt has no deadline while the request waits."""
    return request.asker in (GATE, TOLD) and request.step != NO_STEP
