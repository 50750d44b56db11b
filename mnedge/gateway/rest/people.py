"""What jobs ask people, and their answers."""

from typing import Annotated, Any

from msgspec import Meta
from starlette.responses import Response

from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Body, Query, Wrong, refused
from mnedge.gateway.rest.jobs import found_view, plain
from mnedge.gateway.rest.routing import Answer, Call, Route, json_reply
from mnedge.gateway.rest.steering import WaitQuery, acted
from mnedge.model.access import Scope
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.runtime import answers, jobs
from mnedge.runtime.view import job_view

OPEN = frozenset(JobStatus) - TERMINAL


class AnswerBody(Body, frozen=True, kw_only=True):
    """An answer: a decision, or whether it is approved; `payload` is kept with it."""

    decision: Annotated[str, Meta(max_length=200)] | None = None
    approved: bool | None = None
    comment: Annotated[str, Meta(max_length=4000)] = ""
    payload: Any = None


async def all_requests(call: Call[Query, None]) -> Response:
    """Return what waits for a person, in all jobs."""
    return json_reply(plain(shapes.Listed(data=await _all(call, "human_requests"))))


async def all_letters(call: Call[Query, None]) -> Response:
    """Return the dead letters of all jobs that are not over."""
    return json_reply(plain(shapes.Listed(data=await _all(call, "dead_letters"))))


async def _all(call: Call[Any, Any], what: str) -> list[dict[str, Any]]:
    store = call.backend.store
    found: list[dict[str, Any]] = []
    for record in await jobs.list_jobs(store, limit=None, statuses=OPEN):
        view = await job_view(store, record.job_id)
        found += [{"job_id": record.job_id, **one} for one in getattr(view, what)]
    return found


async def list_requests(call: Call[Query, None]) -> Response:
    """Return what waits for a person, in one job."""
    view = await found_view(call)
    return json_reply(plain(shapes.Listed(data=view.human_requests)))


async def respond(call: Call[WaitQuery, AnswerBody]) -> Response:
    """Give an answer, and see whether it was taken.

    Raises: RequestNotFoundError, DecisionNotAllowedError, AnswerRefusedError, JobStatusError.
    """
    store, body = call.backend.store, call.body
    view = await found_view(call)
    waiting = answers.chosen_request(view, call.path["request_id"])
    request, waiting = await answers.respond(
        store,
        view,
        _decision(body, answers.decisions_of(waiting)),
        now=call.backend.now,
        request_id=str(waiting["request_id"]),
        by=call.principal.name,
        comment=body.comment,
        more={} if body.payload is None else {"value": body.payload},
    )
    _, done = await acted(call, request, call.query.wait if view.holder else 0)
    if done:
        await answers.refuse_unless_taken(store, request)
    told = shapes.Answered(
        job_id=request.job_id,
        request_id=str(waiting["request_id"]),
        decision=str(request.details["decision"]),
        settled=done,
    )
    return json_reply(told, 200 if done else 202)


def _decision(body: AnswerBody, allowed: list[str]) -> str:
    if body.decision is not None:
        return body.decision
    if body.approved is not None:
        return "approve" if body.approved else "reject"
    others = [one for one in allowed if one not in ("approve", "reject")]
    if body.payload is not None and (len(others) == 1 or len(allowed) == 1):
        return (others or allowed)[0]
    raise refused(
        [
            Wrong(
                path="body.decision",
                message="is missing",
                hint=f"one of {', '.join(allowed)}" if allowed else "",
            )
        ]
    )


ROUTES = (
    Route(
        method="GET",
        path="/human-requests",
        work=all_requests,
        summary="List what waits for a person, in all jobs",
        tag="people",
        answers={200: Answer(body=shapes.Listed)},
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/human-requests",
        work=list_requests,
        summary="List what waits for a person, in one job",
        tag="people",
        answers={200: Answer(body=shapes.Listed)},
        refuses=(404,),
    ),
    Route(
        method="POST",
        path="/jobs/{job_id}/human-requests/{request_id}/respond",
        work=respond,
        summary="Answer",
        tag="people",
        scope=Scope.OPERATE,
        query=WaitQuery,
        body=AnswerBody,
        optional=False,
        answers={
            200: Answer(body=shapes.Answered, explained="The job has taken the answer."),
            202: Answer(body=shapes.Answered, explained="The answer is left with the job."),
        },
        refuses=(404, 409),
        noun="job",
        verb="respond",
        once=True,
    ),
    Route(
        method="GET",
        path="/dead-letters",
        work=all_letters,
        summary="List dead letters of all jobs that are not over",
        tag="dead letters",
        answers={200: Answer(body=shapes.Listed)},
    ),
)
