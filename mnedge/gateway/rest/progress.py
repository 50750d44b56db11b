"""How far a job's workflow is, whenever that changes: for clients of the published API."""

from typing import Annotated, Any

import msgspec
import trio
from msgspec import Meta, Struct, field
from starlette.responses import Response

from mnedge.gateway.client_shapes import status_of
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.jobs import found_job, plain
from mnedge.gateway.rest.routing import EVENT_STREAM, Answer, Call, Route, json_reply
from mnedge.gateway.rest.streaming import EventStream, Pulse, Write, frame
from mnedge.model.states import TERMINAL
from mnedge.runtime.view import JobView
from mnedge.store.runs.places import Mark


class Progress(Struct, frozen=True, kw_only=True):
    """How far a job is."""

    job_id: str
    run_id: str
    status: str
    workflow_state: shapes.Anything
    steps: list[shapes.Anything]
    agents: list[shapes.Anything]
    counts: shapes.Anything
    events: int
    updated_at: float


class ProgressQuery(Query, frozen=True, kw_only=True):
    """How often."""

    interval_s: Annotated[
        float, Meta(ge=0.2, le=60, description="Seconds between two snapshots at least.")
    ] = field(default=1.0, name="interval")


async def progress(call: Call[Query, None]) -> Response:
    """Return how far a job is."""
    record = await found_job(call)
    view, _ = await call.backend.views.look(record.job_id)
    return json_reply(plain(_progress(view)))


def _progress(view: JobView) -> Progress:
    steps = view.workflow.get("steps", {})
    listed = [{"id": name, **steps[name]} for name in view.workflow.get("step_order", ())]
    counts: dict[str, int] = {}
    for one in listed:
        counts[str(one.get("status"))] = counts.get(str(one.get("status")), 0) + 1
    record = view.record
    return Progress(
        job_id=record.job_id,
        run_id=record.job_id,
        status=status_of(record),
        workflow_state=view.workflow,
        steps=listed,
        agents=[
            {
                "agent_id": one.agent_id,
                "status": one.status,
                "processed_messages": one.processed_messages,
                "mailbox_depth": one.mailbox_depth,
            }
            for one in view.agents
        ],
        counts={"total": len(listed), **counts},
        events=view.events,
        updated_at=record.updated_at,
    )


async def stream(call: Call[ProgressQuery, None]) -> Response:
    """Return how far a job is, again and again until it is over."""
    backend, interval_s = call.backend, call.query.interval_s
    record = await found_job(call)
    if backend.feed.is_full:
        raise backend.feed.too_many()

    async def tell(write: Write, pulse: Pulse) -> None:
        del pulse  # it asks for the newest state, and what it missed is void
        while True:
            view, _ = await backend.views.look(record.job_id)
            snapshot: dict[str, Any] = plain(_progress(view))
            await write(frame(msgspec.json.encode(snapshot), event="snapshot"))
            if view.record.status in TERMINAL:
                return
            seen = Mark(view.events, 1 << 40)
            async with backend.feed.follow(record.job_id, after=seen) as reader:
                await reader.batch()
            await trio.sleep(interval_s)

    return EventStream(tell, heartbeat=frame(b"{}", event="heartbeat"))


ROUTES = (
    Route(
        method="GET",
        path="/jobs/{job_id}/workflow-progress",
        work=progress,
        summary="See how far a job is",
        tag="jobs",
        answers={200: Answer(body=Progress)},
        refuses=(404,),
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/workflow-progress/stream",
        work=stream,
        summary="Follow how far a job is",
        tag="jobs",
        query=ProgressQuery,
        answers={200: Answer(media=(EVENT_STREAM,), explained="`snapshot`, `heartbeat`.")},
        refuses=(404, 429),
    ),
)
