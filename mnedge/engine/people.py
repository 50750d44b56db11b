"""People who are asked, and what they decide.

A gate keeps its message until somebody has decided. A worker that asks and has answered gets the
decision as a message; one that is still at work, or whoever writes into `human.jsonl`, reads it
there.

Source: bundle format 6.11, 7.3.
"""

from typing import Any

from mnedge.engine.compile import CompiledJob
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.headers import RUN_ID, STEP_ID
from mnedge.engine.ledger.settle import attempt_failed, rest
from mnedge.engine.ledger.state import Attempt, StepState
from mnedge.engine.ledger.work import arm, clear_timers
from mnedge.engine.primitives import complete_alone, route_on
from mnedge.engine.route import Draft, dead_letter, deliver, emit, emit_to
from mnedge.engine.settings import mapping, named
from mnedge.engine.state import OUTSIDE, Flight, JobState, People, Request, Timer
from mnedge.engine.turn import Turn
from mnedge.model.body import shown, weight_of
from mnedge.model.facts import HumanSaid, NamedEvent
from mnedge.model.ids import derived_id
from mnedge.model.manifest import HumanControl
from mnedge.model.message import Message, iso_ms, weight
from mnedge.model.states import TERMINAL, JobStatus

REQUESTED = "human_input_requested"
RECEIVED = "human_input_received"
TIMED_OUT = "human_input_timeout"
APPLIED = "human_decision_applied"
SPOKEN = frozenset({REQUESTED, RECEIVED, TIMED_OUT, APPLIED})
"""Events that are about a request; whoever publishes one is heard by `told`."""

GATE, TOLD, LIVE, WRITTEN = "gate", "told", "live", "written"
"""Who asks: a gate; a worker that has answered; one at work; a line in `human.jsonl`."""

PENDING_AT_MOST = 1000
ANSWERED_KEPT = 256
LINES_KEPT = 10_000
APPROVE = "approve"
REQUIRED = "approval_required"
_ANSWERED = "already answered"
_GONE = "no longer asked"


def pending(job: CompiledJob, state: JobState) -> list[dict[str, Any]]:
    """Return what waits for a person, the oldest first: as told, with `asked_at` and `due_at`."""
    if state.people is None or state.status in TERMINAL:
        return []
    found = []
    for request in state.people.pending.values():
        due_at = None if request.due_at is None else iso_ms(request.due_at)
        plain: dict[str, Any] = shown(request.payload)
        found.append({**plain, "asked_at": iso_ms(request.asked_at), "due_at": due_at})
    return found


# ---- gates ----


def hold(turn: Turn, index: int, message: Message) -> None:
    """Keep the message until a person has decided; pass it on if nobody needs to."""
    compiled, agent = turn.agent(index)
    control = _gate_control(turn, index)
    if control.mode == "disabled":
        route_on(turn, index, message)
        return
    step = _step(turn)
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
        _free_id(turn, compiled.agent_id),
        GATE,
        _asked(control, about),
        control.allowed_decisions,
        control.default_action,
        agent=index,
        message=message,
    )
    if not _ask(turn, request, control.timeout_s):
        dead_letter(turn, message, f"more than {PENDING_AT_MOST} requests wait for a person")


def _gate_control(turn: Turn, index: int) -> HumanControl:
    """Return what the gate's config says, and the job where it is silent."""
    config = turn.job.agents[index].agent.config
    common = turn.job.spec.human
    mode = config.get("approval_mode")
    return _control(
        {**config, "timeout_seconds": config.get("approval_timeout_seconds")},
        common,
        mode if mode in ("disabled", "notice_only") else REQUIRED,
    )


def _control(given: dict[str, Any], common: HumanControl, mode: str) -> HumanControl:
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


def _asked(control: HumanControl, about: dict[str, Any]) -> dict[str, Any]:
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


# ---- asking ----


def _people(turn: Turn) -> People:
    if turn.state.people is None:
        turn.state.people = People()
    return turn.state.people


def _step(turn: Turn) -> StepState | None:
    return None if turn.step == NO_STEP else turn.ledger.steps.get(turn.step)


def _free_id(turn: Turn, name: str) -> str:
    people = _people(turn)
    while True:
        people.count += 1
        request_id = f"{name}-{people.count}"
        if request_id not in people.pending and request_id not in people.answered:
            return request_id


def _ask(turn: Turn, request: Request, timeout_s: float | None) -> bool:
    """Let the request wait, and tell of it; tell whether there was room."""
    people = _people(turn)
    request_id = request.request_id
    request.payload = {"request_id": request_id, **request.payload, "status": "pending"}
    request.payload["request_id"] = request_id
    step = _step(turn)
    if step is not None and step.current is not None:
        request.step, request.attempt = step.number, step.current.number
    if len(people.pending) >= PENDING_AT_MOST:
        reason = f"more than {PENDING_AT_MOST} requests wait for a person"
        _reject(turn, request_id, None, reason, request)
        return False
    people.answered.pop(request_id, None)
    request.asked_at = turn.at
    request.due_at = None if timeout_s is None else turn.at + timeout_s
    request.weight_bytes = weight_of(request.payload)
    if request.message is not None:
        request.weight_bytes += request.message.weight_bytes
    turn.state.kept_bytes += request.weight_bytes
    people.pending[request_id] = request
    _tell(turn, REQUESTED, request, request.payload)
    if request.due_at is not None and turn.running:
        _set_timer(turn, request, request.due_at)
    return True


def _set_timer(turn: Turn, request: Request, due_at: float) -> None:
    turn.set_timer(f"human:{request.request_id}", Timer(due_at, "human"))


def _tell(turn: Turn, name: str, request: Request, payload: dict[str, Any]) -> None:
    agent_id = None if request.agent < 0 else turn.job.agents[request.agent].agent_id
    step_id = None
    if request.step != NO_STEP and request.step in turn.ledger.steps:
        step_id = turn.ledger.steps[request.step].step_id
    turn.tell(name, agent_id, payload, step_id=step_id)


def _reject(
    turn: Turn, request_id: Any, decision: Any, reason: str, request: Request | None
) -> None:
    payload = {
        "request_id": request_id,
        "decision": decision,
        "allowed_decisions": [] if request is None else request.allowed,
        "reason": reason,
    }
    if request is None:
        turn.tell("human_input_rejected", None, payload)
    else:
        _tell(turn, "human_input_rejected", request, payload)


def _forget(turn: Turn, request: Request, why: str) -> None:
    """Let the request wait no more; its id is remembered for a while."""
    people = _people(turn)
    del people.pending[request.request_id]
    turn.state.kept_bytes -= request.weight_bytes
    turn.clear_timer(f"human:{request.request_id}")
    people.answered[request.request_id] = why
    if len(people.answered) > ANSWERED_KEPT:
        del people.answered[next(iter(people.answered))]


# ---- workers ----


def told(turn: Turn, index: int, event: NamedEvent, flight: Flight, *, live: bool = False) -> None:
    """Hear what a worker publishes about a request, in the step that is acted for.

    `live`: it is at work, and reads the answer itself.
    """
    agent_id = turn.job.agents[index].agent_id
    mode = turn.job.spec.human.mode
    if event.type != REQUESTED or mode != REQUIRED:
        only_shown = {"status": mode} if event.type == REQUESTED else {}
        payload = {**event.payload, **only_shown}
        turn.tell(event.type, agent_id, payload, step_id=flight.step_id)
        if event.type != REQUESTED:
            _settled_itself(turn, index, event.payload)
        return
    _put_question(
        turn,
        event.payload,
        LIVE if live else TOLD,
        index,
        {"agent_id": agent_id, "step_id": flight.step_id},
        flight,
    )


def _put_question(
    turn: Turn,
    given: dict[str, Any],
    asker: str,
    index: int,
    about: dict[str, Any],
    flight: Flight | None = None,
) -> None:
    people = _people(turn)
    control = _control(given, turn.job.spec.human, REQUIRED)
    name = "human" if index < 0 else turn.job.agents[index].agent_id
    request_id = named(given.get("request_id")) or _free_id(turn, name)
    known = people.pending.get(request_id)
    if known is not None:
        # A worker that was launched again asks again: it is the same question.
        if known.asker != asker or known.agent != index:
            _reject(turn, request_id, None, "another request with this id waits", known)
        return
    message = None if flight is None else flight.message
    request = Request(
        request_id,
        asker,
        _asked(control, {**given, **about}),
        control.allowed_decisions,
        control.default_action,
        agent=index,
        correlation_id="" if message is None else message.correlation_id,
        work_id="" if flight is None else flight.work_id,
    )
    _ask(turn, request, control.timeout_s)


def _settled_itself(turn: Turn, index: int, payload: dict[str, Any]) -> None:
    """A worker says that its own request is settled: nobody is asked any more."""
    people = turn.state.people
    request_id = payload.get("request_id")
    if people is None or not isinstance(request_id, str):
        return
    request = people.pending.get(request_id)
    if request is not None and request.agent == index and request.asker != GATE:
        _forget(turn, request, _ANSWERED)


# ---- answers ----


def said(turn: Turn, fact: HumanSaid) -> None:
    """Hear a line of `human.jsonl`, each once."""
    people = _people(turn)
    if fact.line_id in people.lines:
        return
    people.lines[fact.line_id] = True
    if len(people.lines) > LINES_KEPT:
        del people.lines[next(iter(people.lines))]
    payload = fact.payload
    if fact.type == RECEIVED:
        respond(turn, payload, fact.by)
    elif fact.type == REQUESTED and turn.job.spec.human.mode == REQUIRED:
        index = turn.job.index_of.get(str(payload.get("agent_id")), OUTSIDE)
        _put_question(turn, payload, WRITTEN, index, {})
    elif fact.type in (TIMED_OUT, APPLIED):
        _closed_by_line(turn, fact)
    else:
        more = {"by": fact.by} if fact.by and "by" not in payload else {}
        if fact.type == REQUESTED:
            more["status"] = turn.job.spec.human.mode  # nobody waits for an answer
        turn.tell(fact.type, None, {**payload, **more})


def _closed_by_line(turn: Turn, fact: HumanSaid) -> None:
    """Whoever asks in the file may settle the matter there; gates hear answers only."""
    request_id = fact.payload.get("request_id")
    request = _people(turn).pending.get(request_id) if isinstance(request_id, str) else None
    if request is not None and request.asker in (GATE, TOLD):
        _reject(turn, request_id, fact.payload.get("decision"), "this is no answer", request)
        return
    turn.tell(fact.type, None, fact.payload)
    if request is not None:
        _forget(turn, request, _ANSWERED)


def respond(turn: Turn, answer: dict[str, Any], by: str) -> None:
    """Take a person's answer to a request that waits."""
    people = turn.state.people or People()
    request_id, decision = answer.get("request_id"), answer.get("decision")
    if decision is None and isinstance(answer.get("approved"), bool):
        decision = APPROVE if answer["approved"] else "reject"
    request = people.pending.get(request_id) if isinstance(request_id, str) else None
    if request is None:
        known = people.answered.get(request_id) if isinstance(request_id, str) else None
        _reject(turn, request_id, decision, known or "no such request", None)
        return
    if not isinstance(decision, str) or decision not in request.allowed:
        _reject(turn, request_id, decision, "the decision is not allowed", request)
        return
    payload = {
        **answer,
        "decision": decision,
        "approved": decision == APPROVE,
        "submitted_at": answer.get("submitted_at") or iso_ms(turn.at),
    }
    if by and not payload.get("by"):
        payload["by"] = by
    _tell(turn, RECEIVED, request, payload)
    comment = answer.get("comment")
    who = by or named(answer.get("by")) or ""
    _decide(turn, request, decision, "human", who, comment if isinstance(comment, str) else None)


def timed_out(turn: Turn, request_id: str) -> None:
    """Nobody has decided in time: the default action is taken."""
    request = _people(turn).pending.get(request_id)
    if request is None:
        return
    payload = {
        "request_id": request_id,
        "prompt": request.payload.get("prompt"),
        "timeout_seconds": request.payload.get("timeout_seconds"),
        "default_action": request.default,
        "agent_id": request.payload.get("agent_id"),
        "step_id": request.payload.get("step_id"),
    }
    _tell(turn, TIMED_OUT, request, payload)
    _decide(turn, request, request.default, "timeout", "", None)


def _decide(
    turn: Turn, request: Request, decision: str, source: str, by: str, comment: str | None
) -> None:
    _forget(turn, request, _ANSWERED)
    payload: dict[str, Any] = {
        "request_id": request.request_id,
        "decision": decision,
        "approved": decision == APPROVE,
        "source": source,
        "by": by,
    }
    if comment is not None:
        payload["comment"] = comment
    _tell(turn, APPLIED, request, payload)
    place = _place(turn, request)
    if request.step != NO_STEP and place is None:
        return
    turn.step = request.step
    if place is not None and _rests(request):
        _go_on(turn, *place)
    if request.asker == GATE and request.message is not None:
        _open(turn, request, request.message, {"comment": None, **payload})
    elif request.asker == TOLD:
        _answer(turn, request, payload, place)


def _rests(request: Request) -> bool:
    """Tell whether the step's attempt has no deadline while the request waits."""
    return request.asker in (GATE, TOLD) and request.step != NO_STEP


def _place(turn: Turn, request: Request) -> tuple[StepState, Attempt] | None:
    """Return the step and the attempt that the request is asked in, if that is current."""
    if request.step == NO_STEP:
        return None
    step = turn.ledger.steps.get(request.step)
    current = None if step is None else step.current
    if step is None or current is None or current.number != request.attempt:
        return None
    return step, current


def _go_on(turn: Turn, step: StepState, attempt: Attempt) -> None:
    """Give the step's attempt its whole time, unless it waits for another decision."""
    others = _people(turn).pending.values()
    here = (step.number, attempt.number)
    if any(_rests(other) and (other.step, other.attempt) == here for other in others):
        return
    arm(turn, step, attempt)
    if not turn.running:
        clear_timers(turn, step)  # they are set when the job goes on


def _open(turn: Turn, request: Request, message: Message, payload: dict[str, Any]) -> None:
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


def _answer(
    turn: Turn,
    request: Request,
    payload: dict[str, Any],
    place: tuple[StepState, Attempt] | None,
) -> None:
    """Send the decision to the agent that asked."""
    job_id = turn.state.job_id
    headers: dict[str, Any] = {}
    if place is not None:
        headers = {RUN_ID: job_id, STEP_ID: place[0].step_id}
    message = Message(
        derived_id(f"{job_id}:human_decision:{request.request_id}:{_people(turn).count}"),
        "human_decision",
        turn.job.agents[request.agent].agent_id,
        "runtime",
        "command",
        request.correlation_id or derived_id(f"{job_id}:correlation", size_bytes=10),
        turn.at,
        payload,
        headers,
        weight_bytes=weight(payload, headers, [], None),
    )
    _people(turn).count += 1
    deliver(turn, OUTSIDE, request.agent, message)


# ---- what becomes of requests ----


def watch(turn: Turn) -> None:
    """Let requests rest with the job, and withdraw those that nobody waits for any more."""
    people = turn.state.people
    if people is None or turn.state.status in TERMINAL:
        return
    _watch_pause(turn, people)
    for request in list(people.pending.values()):
        place = _place(turn, request)
        if _is_moot(turn, request, place):
            _withdraw(turn, request)
        elif place is not None and _rests(request):
            attempt = place[1]
            if attempt.deadline_at is not None or attempt.heartbeat_deadline_at is not None:
                rest(turn, place[0])


def _watch_pause(turn: Turn, people: People) -> None:
    """While the job is paused nobody is late."""
    if turn.state.status is JobStatus.PAUSED and people.paused_at is None:
        people.paused_at = turn.at
        for request in people.pending.values():
            turn.clear_timer(f"human:{request.request_id}")
    elif turn.running and people.paused_at is not None:
        for request in people.pending.values():
            if request.due_at is not None:
                request.due_at += turn.at - max(people.paused_at, request.asked_at)
                _set_timer(turn, request, request.due_at)
        people.paused_at = None


def _is_moot(turn: Turn, request: Request, place: tuple[StepState, Attempt] | None) -> bool:
    if request.step != NO_STEP and place is None:
        return True
    if request.asker != LIVE:
        return False
    flight = turn.state.agents[request.agent].flight
    return flight is None or flight.work_id != request.work_id


def _withdraw(turn: Turn, request: Request) -> None:
    """Tell that nobody is asked any more, in the way in which readers of the file know it."""
    _forget(turn, request, _GONE)
    payload = {
        "request_id": request.request_id,
        "decision": None,
        "approved": False,
        "source": "withdrawn",
        "by": "",
        "reason": "who asked no longer waits",
    }
    _tell(turn, APPLIED, request, payload)
