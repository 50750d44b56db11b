"""People who are asked, and what they decide.

A gate keeps its message until somebody has decided. A worker that asks and has answered gets the
decision as a message; one that is still at work, or whoever writes into `human.jsonl`, reads it
there.

Source: bundle format 6.11, 7.3.
"""

from typing import Any

from mnedge.engine.asking import (
    APPROVE,
    GATE,
    LIVE,
    REQUESTED,
    REQUIRED,
    TOLD,
    WRITTEN,
    ask,
    control_of,
    forget,
    free_id,
    people_of,
    place_of,
    question,
    reject,
    rests,
    set_timer,
    tell,
)
from mnedge.engine.compile import CompiledJob
from mnedge.engine.gates import open_gate
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.headers import RUN_ID, STEP_ID
from mnedge.engine.ledger.settle import rest
from mnedge.engine.ledger.state import Attempt, StepState
from mnedge.engine.ledger.work import arm, clear_timers
from mnedge.engine.route import deliver
from mnedge.engine.settings import named
from mnedge.engine.state import OUTSIDE, Flight, JobState, People, Request
from mnedge.engine.turn import Turn
from mnedge.model.body import shown
from mnedge.model.facts import HumanSaid, NamedEvent
from mnedge.model.ids import derived_id
from mnedge.model.message import Message, iso_ms, weight
from mnedge.model.states import TERMINAL, JobStatus

RECEIVED = "human_input_received"
TIMED_OUT = "human_input_timeout"
APPLIED = "human_decision_applied"
SPOKEN = frozenset({REQUESTED, RECEIVED, TIMED_OUT, APPLIED})
"""Events that are about a request; whoever publishes one is heard by `told`."""
LINES_KEPT = 10_000
ANSWERED = "already answered"
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


# ---- workers ----


def told(turn: Turn, index: int, event: NamedEvent, flight: Flight, *, live: bool = False) -> None:
    """Hear what a worker publishes about a request, in the step that is acted for.

    `live`: it is at work, and reads the answer itself.
    """
    agent_id = turn.job.agents[index].agent_id
    mode = turn.job.spec.human.mode
    if event.type != REQUESTED or mode != REQUIRED:
        is_new = event.type == REQUESTED and turn.job.revision >= 2
        only_shown = {"status": mode} if is_new else {}
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
    people = people_of(turn)
    control = control_of(given, turn.job.spec.human, REQUIRED)
    name = "human" if index < 0 else turn.job.agents[index].agent_id
    request_id = named(given.get("request_id")) or free_id(turn, name)
    known = people.pending.get(request_id)
    if known is not None:
        # A worker that was launched again asks again: it is the same question.
        if known.asker != asker or known.agent != index:
            reject(turn, request_id, None, "another request with this id waits", known)
        return
    message = None if flight is None else flight.message
    request = Request(
        request_id,
        asker,
        question(control, {**given, **about}),
        control.allowed_decisions,
        control.default_action,
        agent=index,
        correlation_id="" if message is None else message.correlation_id,
        work_id="" if flight is None else flight.work_id,
    )
    ask(turn, request, control.timeout_s)


def _settled_itself(turn: Turn, index: int, payload: dict[str, Any]) -> None:
    """A worker says that its own request is settled: nobody is asked any more."""
    people = turn.state.people
    request_id = payload.get("request_id")
    if people is None or not isinstance(request_id, str):
        return
    request = people.pending.get(request_id)
    if request is not None and request.agent == index and request.asker != GATE:
        forget(turn, request, ANSWERED)


# ---- answers ----


def said(turn: Turn, fact: HumanSaid) -> None:
    """Hear a line of `human.jsonl`, each once."""
    people = people_of(turn)
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
    request = people_of(turn).pending.get(request_id) if isinstance(request_id, str) else None
    if request is not None and request.asker in (GATE, TOLD):
        reject(turn, request_id, fact.payload.get("decision"), "this is no answer", request)
        return
    turn.tell(fact.type, None, fact.payload)
    if request is not None:
        forget(turn, request, ANSWERED)


def respond(turn: Turn, answer: dict[str, Any], by: str) -> None:
    """Take a person's answer to a request that waits."""
    people = turn.state.people or People()
    request_id, decision = answer.get("request_id"), answer.get("decision")
    if decision is None and isinstance(answer.get("approved"), bool):
        decision = APPROVE if answer["approved"] else "reject"
    request = people.pending.get(request_id) if isinstance(request_id, str) else None
    if request is None:
        known = people.answered.get(request_id) if isinstance(request_id, str) else None
        reject(turn, request_id, decision, known or "no such request", None)
        return
    if not isinstance(decision, str) or decision not in request.allowed:
        reject(turn, request_id, decision, "the decision is not allowed", request)
        return
    payload = {
        **answer,
        "decision": decision,
        "approved": decision == APPROVE,
        "submitted_at": answer.get("submitted_at") or iso_ms(turn.at),
    }
    if by and not payload.get("by"):
        payload["by"] = by
    tell(turn, RECEIVED, request, payload)
    comment = answer.get("comment")
    who = by or named(answer.get("by")) or ""
    _decide(turn, request, decision, "human", who, comment if isinstance(comment, str) else None)


def timed_out(turn: Turn, request_id: str) -> None:
    """Nobody has decided in time: the default action is taken."""
    request = people_of(turn).pending.get(request_id)
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
    tell(turn, TIMED_OUT, request, payload)
    _decide(turn, request, request.default, "timeout", "", None)


def _decide(
    turn: Turn, request: Request, decision: str, source: str, by: str, comment: str | None
) -> None:
    forget(turn, request, ANSWERED)
    payload: dict[str, Any] = {
        "request_id": request.request_id,
        "decision": decision,
        "approved": decision == APPROVE,
        "source": source,
        "by": by,
    }
    if comment is not None:
        payload["comment"] = comment
    tell(turn, APPLIED, request, payload)
    place = place_of(turn, request)
    if request.step != NO_STEP and place is None:
        return
    turn.step = request.step
    if place is not None and rests(request):
        _go_on(turn, *place)
    if request.asker == GATE and request.message is not None:
        open_gate(turn, request, request.message, {"comment": None, **payload})
    elif request.asker == TOLD:
        _answer(turn, request, payload, place)


def _go_on(turn: Turn, step: StepState, attempt: Attempt) -> None:
    """Give the step's attempt its whole time, unless it waits for another decision."""
    here = (step.number, attempt.number)
    others = people_of(turn).pending.values()
    if any(rests(other) and (other.step, other.attempt) == here for other in others):
        return
    arm(turn, step, attempt)
    if not turn.running:
        clear_timers(turn, step)  # they are set when the job goes on


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
        derived_id(f"{job_id}:human_decision:{request.request_id}:{people_of(turn).count}"),
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
    people_of(turn).count += 1
    deliver(turn, OUTSIDE, request.agent, message)


# ---- what becomes of requests ----


def watch(turn: Turn) -> None:
    """Let requests rest with the job, and withdraw those that nobody waits for any more."""
    people = turn.state.people
    if people is None or turn.state.status in TERMINAL:
        return
    _watch_pause(turn, people)
    for request in list(people.pending.values()):
        place = place_of(turn, request)
        if _is_moot(turn, request, place):
            _withdraw(turn, request)
        elif place is not None and rests(request):
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
                set_timer(turn, request, request.due_at)
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
    forget(turn, request, _GONE)
    payload = {
        "request_id": request.request_id,
        "decision": None,
        "approved": False,
        "source": "withdrawn",
        "by": "",
        "reason": "who asked no longer waits",
    }
    tell(turn, APPLIED, request, payload)
