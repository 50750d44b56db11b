"""Goals, alerts, traces and lineage."""

import re
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.responses import Response

from mnedge.errors import NotFoundError
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Body, Query
from mnedge.gateway.rest.routing import Answer, Call, Route, json_reply
from mnedge.model.access import Scope
from mnedge.observe.job_trace import trace_for, trace_of_job
from mnedge.observe.lineage import lineage_for
from mnedge.runtime import jobs

_TRACE_ID = re.compile(r"[0-9a-f]{32}")


class TraceNotFoundError(NotFoundError):
    """Nothing is known of this trace."""

    code = "trace.not_found"


class Goals(Struct, frozen=True, kw_only=True):
    """Every goal as it is now."""

    data: list[shapes.Anything]
    next: str | None = None


class AlertList(Struct, frozen=True, kw_only=True):
    """Every alert and goal with what it came to, and what could not be sent yet."""

    data: list[shapes.Anything]
    undelivered: list[shapes.Anything]
    problems: list[str]
    next: str | None = None


class NewSilence(Body, frozen=True, kw_only=True):
    """For how long nothing is told; 0 ends the silence."""

    duration_s: Annotated[float, Meta(ge=0, le=366 * 86400)] = 3600.0
    reason: Annotated[str, Meta(max_length=500)] = ""


class Silenced(Struct, frozen=True, kw_only=True):
    """Until when an alert is silent."""

    alert: str
    until: float | None


class Tested(Struct, frozen=True, kw_only=True):
    """What became of a trial, by channel."""

    data: list[shapes.Anything]


class TraceShape(Struct, frozen=True, kw_only=True):
    """The spans of a trace, and what in it still runs."""

    trace_id: str
    spans: list[shapes.Anything]
    open: list[shapes.Anything]


async def goals(call: Call[Query, None]) -> Response:
    """Return every goal: what went well, what is left of its budget, how fast that burns."""
    return json_reply(Goals(data=call.backend.slo.goals()))


async def alerts(call: Call[Query, None]) -> Response:
    """Return every alert: quiet, pending or firing, silenced or not."""
    return json_reply(AlertList(**call.backend.slo.alerts()))


async def silence(call: Call[Query, NewSilence]) -> Response:
    """Tell nothing of an alert for a while."""
    name, body = call.path["name"], call.body
    made = await call.backend.slo.silence(
        name, body.duration_s, by=call.principal.name, reason=body.reason
    )
    return json_reply(Silenced(alert=name, until=None if made is None else made.until))


async def test(call: Call[Query, None]) -> Response:
    """Send a trial through the channels of an alert, and wait for what becomes of it."""
    sent = await call.backend.slo.test(call.path["name"], by=call.principal.name)
    return json_reply(Tested(data=sent))


async def lineage(call: Call[Query, None]) -> Response:
    """Return, for every file of a run, from which inputs, code and launches it came."""
    record = await jobs.find_job(call.backend.store, call.path["job_id"])
    return json_reply(await lineage_for(call.backend.store, record.job_id))


async def job_trace(call: Call[Query, None]) -> Response:
    """Return the spans of a job, read from its journal: also after crashes."""
    record = await jobs.find_job(call.backend.store, call.path["job_id"])
    return json_reply(TraceShape(**await trace_of_job(record.job_id, call.backend.store)))


async def trace(call: Call[Query, None]) -> Response:
    """Return what is known of a trace: its requests, and the jobs they made."""
    backend, trace_id = call.backend, call.path["trace_id"]
    found: dict[str, Any] = {"spans": [], "open": []}
    if _TRACE_ID.fullmatch(trace_id):
        found = await trace_for(trace_id, backend.spans, backend.watch, backend.store)
    if not found["spans"] and not found["open"]:
        raise TraceNotFoundError(
            f"no trace {trace_id[:80]} is remembered",
            hint="of a job that ended long ago, ask for its own trace: /jobs/{id}/trace",
        )
    return json_reply(TraceShape(**found))


ROUTES = (
    Route(
        method="GET",
        path="/slo",
        work=goals,
        summary="List goals",
        tag="observability",
        answers={200: Answer(body=Goals)},
    ),
    Route(
        method="GET",
        path="/alerts",
        work=alerts,
        summary="List alerts",
        tag="observability",
        answers={200: Answer(body=AlertList)},
    ),
    Route(
        method="POST",
        path="/alerts/{name}/silence",
        work=silence,
        summary="Silence an alert",
        tag="observability",
        scope=Scope.OPERATE,
        body=NewSilence,
        answers={200: Answer(body=Silenced)},
        refuses=(404,),
        noun="alert",
        verb="silence",
    ),
    Route(
        method="POST",
        path="/alerts/{name}/test",
        work=test,
        summary="Send a trial of an alert",
        tag="observability",
        scope=Scope.OPERATE,
        answers={200: Answer(body=Tested)},
        refuses=(404,),
        noun="alert",
        verb="test",
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/lineage",
        work=lineage,
        summary="Say where the files of a run came from",
        tag="jobs",
        answers={200: Answer(body=shapes.Anything)},
        refuses=(404, 409),
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/trace",
        work=job_trace,
        summary="Show the trace of a job",
        tag="jobs",
        answers={200: Answer(body=TraceShape)},
        refuses=(404, 409),
    ),
    Route(
        method="GET",
        path="/traces/{trace_id}",
        work=trace,
        summary="Show a trace",
        tag="observability",
        answers={200: Answer(body=TraceShape)},
        refuses=(404,),
    ),
)
