"""What people say to a job that waits for them, and what they do with its dead letters.

Checked against what the job is as committed, then left as a request to its owner, who decides: what
was answered meanwhile, or timed out, is refused there with an event.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mnedge.errors import ConflictError, NotFoundError, UsageError
from mnedge.model.records import OperatorRequest
from mnedge.model.states import TERMINAL, Verb
from mnedge.ports import Clock
from mnedge.runtime import jobs
from mnedge.runtime.view import JobView, events_of

EVERY = "*"
"""Stands for all dead letters."""


class RequestNotFoundError(NotFoundError):
    """No request of that id waits for a person."""

    code = "human.request_not_found"


class RequestAmbiguousError(UsageError):
    """Several requests wait, and none was named."""

    code = "human.request_ambiguous"


class DecisionNotAllowedError(UsageError):
    """The request does not allow this decision."""

    code = "human.decision_not_allowed"


class AnswerRefusedError(ConflictError):
    """The owner refused the answer: the request changed, or was over, meanwhile."""

    code = "human.answer_refused"


class LettersLeftError(ConflictError):
    """Dead letters could not be delivered again: whoever they are for is not part of the job."""

    code = "dead_letter.left"


class LetterNotFoundError(NotFoundError):
    """No dead letter has this id, nor an id that begins with it."""

    code = "dead_letter.not_found"


async def respond(
    stores: jobs.Stores,
    view: JobView,
    decision: str,
    *,
    now: Clock,
    request_id: str | None = None,
    by: str = "",
    comment: str = "",
    more: Mapping[str, Any] | None = None,
) -> tuple[OperatorRequest, Mapping[str, Any]]:
    """Ask the owner to take a decision; return what was asked, and the request it answers.

    Without `request_id`: the only one that waits. `more` is kept with the answer.
    Raises: RequestNotFoundError, RequestAmbiguousError, DecisionNotAllowedError, JobStatusError.
    """
    waiting = chosen_request(view, request_id)
    allowed = decisions_of(waiting)
    if decision not in allowed:
        raise DecisionNotAllowedError(
            f"{decision!r} is no decision that request {waiting['request_id']} allows",
            hint=f"it allows {', '.join(allowed)}: mnedge job respond --decision DECISION",
            details={"request_id": waiting["request_id"], "allowed_decisions": allowed},
        )
    details = {**(more or {}), "request_id": waiting["request_id"], "decision": decision}
    if comment:
        details["comment"] = comment
    asked = await jobs.ask(
        stores, view.record.job_id, Verb.RESPOND, now=now, by=by, reason=comment, details=details
    )
    return asked, waiting


async def refuse_unless_taken(stores: jobs.Stores, request: OperatorRequest) -> None:
    """Return if the owner, who has acted on the answer, took it.

    Raises: AnswerRefusedError: somebody else was faster.
    """
    events = await events_of(stores, request)
    record = await jobs.read_job(stores, request.job_id)
    if events is None and record.status in TERMINAL:
        raise AnswerRefusedError(
            f"the job was {record.status} before it took the answer",
            details={"status": record.status},
        )
    for event in events or ():
        if event.type == "human_input_rejected" and isinstance(event.payload, dict):
            raise AnswerRefusedError(
                f"the answer was refused: {event.payload.get('reason')}",
                hint=f"mnedge job events {request.job_id} --type 'human_*' tells what happened",
                details={"request_id": event.payload.get("request_id")},
            )


def decisions_of(request: Mapping[str, Any]) -> list[str]:
    """Return the decisions that a request allows."""
    allowed = request.get("allowed_decisions")
    return [one for one in allowed if isinstance(one, str)] if isinstance(allowed, list) else []


def chosen_request(view: JobView, request_id: str | None) -> Mapping[str, Any]:
    """Return the request with this id or beginning, or the only one there is.

    Raises: RequestNotFoundError, RequestAmbiguousError.
    """
    waiting = view.human_requests
    ids = [str(request["request_id"]) for request in waiting]
    job_id = view.record.job_id
    if not waiting:
        raise RequestNotFoundError(
            f"job {job_id} waits for nobody", hint=f"`mnedge job show {job_id}` tells what it does"
        )
    if request_id is None and len(waiting) == 1:
        return waiting[0]
    found = [at for at, known in enumerate(ids) if request_id and known.startswith(request_id)]
    exact = [at for at in found if ids[at] == request_id]
    if len(exact or found) == 1:
        return waiting[(exact or found)[0]]
    if request_id is None or found:
        raise RequestAmbiguousError(
            f"{len(ids)} requests of job {job_id} wait for a person",
            hint=f"name one with --request: {_listed(ids)}",
            details={"requests": ids},
        )
    raise RequestNotFoundError(
        f"no request {request_id!r} of job {job_id} waits for a person",
        hint=f"there is {_listed(ids)}",
        details={"requests": ids},
    )


async def dispose(
    stores: jobs.Stores,
    view: JobView,
    verb: Verb,
    message_id: str,
    *,
    now: Clock,
    by: str = "",
) -> tuple[OperatorRequest, Sequence[Mapping[str, Any]]]:
    """Ask the owner to redrive or discard dead letters; return what was asked, and which these are.

    `message_id`: an id, the beginning of one, or `EVERY`.
    Raises: LetterNotFoundError, JobStatusError.
    """
    letters = chosen_letters(view, message_id)
    named = EVERY if message_id == EVERY else letters[0]["message_id"]
    asked = await jobs.ask(
        stores, view.record.job_id, verb, now=now, by=by, details={"message_id": named}
    )
    return asked, letters


def chosen_letters(view: JobView, message_id: str) -> Sequence[Mapping[str, Any]]:
    """Return the letter with this id, the only one whose id begins so, or all.

    Raises: LetterNotFoundError.
    """
    letters, job_id = view.dead_letters, view.record.job_id
    if message_id == EVERY and letters:
        return letters
    ids = [str(letter["message_id"]) for letter in letters]
    found = [letter for letter in letters if letter["message_id"] == message_id] or [
        letter for letter in letters if str(letter["message_id"]).startswith(message_id)
    ]
    if len(found) == 1:
        return found
    what = "several dead letters begin with" if found else "no dead letter begins with"
    raise LetterNotFoundError(
        f"{what} {message_id!r}" if letters else f"job {job_id} has no dead letters",
        hint=f"there is {_listed(ids)}" if letters else "",
        details={"message_ids": ids[:20]},
    )


def refuse_letters_left(view: JobView, letters: Sequence[Mapping[str, Any]]) -> None:
    """Return if none of the letters, on which the owner has acted, is still there.

    Raises: LettersLeftError.
    """
    asked = {letter["message_id"] for letter in letters}
    left = [letter for letter in view.dead_letters if letter["message_id"] in asked]
    if left:
        many = "s" if len(left) != 1 else ""
        raise LettersLeftError(
            f"{len(left)} dead letter{many} of {len(letters)} cannot be delivered: "
            f"{left[0].get('reason')}",
            hint=f"mnedge job dead-letters discard {view.record.job_id} MESSAGE forgets one",
            details={"message_ids": [letter["message_id"] for letter in left]},
        )


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return ", ".join(ids[:5]) + more
