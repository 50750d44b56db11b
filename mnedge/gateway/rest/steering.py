"""Jobs: cancel, pause, resume, go on after a failure."""

from typing import Annotated, Any

from msgspec import Meta
from starlette.responses import Response

from mnedge.gateway.eligibility import admit
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Body, Query
from mnedge.gateway.rest.jobs import found_job
from mnedge.gateway.rest.routing import Answer, Call, Route, Work, json_reply
from mnedge.gateway.rest.submitting import owned
from mnedge.model.access import Scope
from mnedge.model.records import JobRecord, OperatorRequest
from mnedge.model.states import Verb
from mnedge.runtime import jobs
from mnedge.runtime.received import checked_id
from mnedge.runtime.retrying import retry

Wait = Annotated[
    float,
    Meta(
        ge=0,
        le=60,
        description="Seconds to wait for the job to act; 0 only asks, which is answered 202.",
    ),
]


class WaitQuery(Query, frozen=True, kw_only=True):
    """How long to wait."""

    wait: Wait = 30.0


class Reason(Body, frozen=True, kw_only=True):
    """Why."""

    reason: Annotated[str, Meta(max_length=2000)] = ""


class RetryBody(Body, frozen=True, kw_only=True):
    """How the new job is called."""

    run_id: str | None = None


def steered(verb: Verb) -> Work:
    """Return what asks a job for this."""

    async def steer(call: Call[WaitQuery, Reason]) -> Response:
        record = await found_job(call)
        request = await jobs.ask(
            call.backend.store,
            record.job_id,
            verb,
            now=call.backend.now,
            by=call.principal.name,
            reason=call.body.reason,
        )
        record, done = await acted(call, request, call.query.wait)
        told = shapes.Steered(
            job=record,
            job_id=record.job_id,
            status=record.status,
            request=request,
            settled=done,
        )
        return json_reply(told, 200 if done else 202)

    return steer


async def acted(
    call: Call[Any, Any], request: OperatorRequest, wait_s: float
) -> tuple[JobRecord, bool]:
    """Wait until the owner acted on the request; return the job, and whether that was in time."""
    store = call.backend.store
    if wait_s > 0:
        try:
            return await jobs.settled(store, request, timeout_s=wait_s), True
        except jobs.JobUnsettledError:
            pass
    return await jobs.read_job(store, request.job_id), False


async def retry_job(call: Call[Query, RetryBody]) -> Response:
    """Go on as a new job from where a failed one stopped."""
    backend = call.backend
    await admit(backend.store)
    record = await found_job(call)
    checked_id(call.body.run_id)
    kept: list[str] = []

    async def made(own: Any) -> JobRecord:
        new, done = await retry(
            backend.store,
            backend.config,
            record.job_id,
            runners=backend.runners,
            connectors=backend.connectors,
            now=backend.now,
            new_id=call.body.run_id,
            own=own,
        )
        kept.extend(done)
        return new

    new = await owned(backend, made)
    place = f"/api/v1/jobs/{new.job_id}"
    told = shapes.Retried(
        job=new, job_id=new.job_id, status=new.status, retries=record.job_id, kept=kept
    )
    return json_reply(told, 201, {"location": place})


def _route(verb: Verb, summary: str) -> Route:
    return Route(
        method="POST",
        path=f"/jobs/{{job_id}}/{verb}",
        work=steered(verb),
        summary=summary,
        tag="jobs",
        scope=Scope.OPERATE,
        query=WaitQuery,
        body=Reason,
        answers={
            200: Answer(body=shapes.Steered, explained="The job did it."),
            202: Answer(body=shapes.Steered, explained="It was asked; the request stands."),
        },
        refuses=(404, 409),
        noun="job",
        verb=str(verb),
        once=True,
    )


ROUTES = (
    _route(Verb.CANCEL, "Cancel a job"),
    _route(Verb.PAUSE, "Pause a job"),
    _route(Verb.RESUME, "Resume a paused job"),
    Route(
        method="POST",
        path="/jobs/{job_id}/retry",
        work=retry_job,
        summary="Go on from where a failed job stopped, as a new job",
        tag="jobs",
        scope=Scope.OPERATE,
        body=RetryBody,
        answers={201: Answer(body=shapes.Retried, headers=("location",))},
        refuses=(404, 409),
        noun="job",
        verb="retry",
        once=True,
    ),
)
