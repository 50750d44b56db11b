"""Jobs: submit, list, look."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.responses import Response

from mnedge.bundle.drawing.folding import folded
from mnedge.bundle.drawing.graphs import agents_graph, steps_graph
from mnedge.bundle.drawing.place import placed
from mnedge.bundle.drawing.svg import svg
from mnedge.gateway.backend import Backend
from mnedge.gateway.client_shapes import job_row
from mnedge.gateway.eligibility import admit
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.paging import Paged, page_of
from mnedge.gateway.rest.routing import JSON, ZIP, Answer, Call, Route, json_reply, media_type
from mnedge.gateway.rest.submitting import SUBMISSION, is_owner, sent_of, submit_sent
from mnedge.model.access import Scope
from mnedge.model.body import shown
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.runtime import jobs
from mnedge.runtime.outcome import NoResultError, output_of, with_result, with_result_if_kept
from mnedge.runtime.view import JobView, job_view

RECENT = 25


class JobsQuery(Paged, frozen=True, kw_only=True):
    """Which jobs."""

    status: Annotated[tuple[JobStatus, ...], Meta(description="Only jobs with one of these.")] = ()
    running: Annotated[bool, Meta(description="Only jobs that are not over.")] = False
    blueprint: Annotated[str, Meta(description="Only jobs of this blueprint.")] = ""
    include_terminal: Annotated[bool, Meta(description="False is as `running`.")] = True


class LookQuery(Query, frozen=True, kw_only=True):
    """How much to show."""

    include: Annotated[
        Literal["compact", "summary", "full"],
        Meta(description="Anything but `full` leaves out agents and workflow."),
    ] = "full"


class GraphQuery(Query, frozen=True, kw_only=True):
    """Which graph, and in which form."""

    kind: Literal["agents", "steps"] = "agents"
    format: Literal["json", "svg"] = "json"
    folded: Annotated[bool, Meta(description="Draw what looks alike once.")] = True


async def submit_job(call: Call[Query, bytes]) -> Response:
    """Make a job of what was sent; it begins at once."""
    backend = call.backend
    await admit(backend.store)
    request = call.request
    sent = sent_of(backend, call.body, media_type(request), owner=is_owner(request))
    record = await submit_sent(backend, request, sent)
    call.concerns(f"job/{record.job_id}")
    place = f"/api/v1/jobs/{record.job_id}"
    links = {name: f"{place}/{name}" for name in ("events", "logs", "artifacts", "result")}
    return json_reply(
        shapes.Submitted(
            job=record,
            job_id=record.job_id,
            id=record.job_id,
            status=record.status,
            links={"self": place, **links},
        ),
        201,
        {"location": place},
    )


async def list_jobs(call: Call[JobsQuery, None]) -> Response:
    """Return jobs, the one that changed last first."""
    query = call.query
    wanted = set(query.status or JobStatus)
    if query.running or not query.include_terminal:
        wanted -= TERMINAL
    return await _listed(call.backend, query, wanted, query.blueprint)


async def list_unfinished(call: Call[Paged, None]) -> Response:
    """Return jobs that are not over."""
    return await _listed(call.backend, call.query, set(JobStatus) - TERMINAL, "")


async def _listed(
    backend: Backend, query: Paged, statuses: set[JobStatus], blueprint: str
) -> Response:
    every = await jobs.list_jobs(backend.store, limit=None, statuses=statuses)
    if blueprint:
        every = [one for one in every if one.blueprint_id == blueprint]
    found, following = page_of(every, query, _place, tuple[float, str])
    return json_reply(shapes.Jobs(data=found, next=following))


def _place(record: JobRecord) -> tuple[float, str]:
    return (record.updated_at, record.job_id)


async def found_job(call: Call[Any, Any]) -> JobRecord:
    """Return the job that the path names: by id, by the beginning of one, or `last`.

    Raises: JobNotFoundError.
    """
    record = await jobs.find_job(call.backend.store, call.path["job_id"])
    call.concerns(f"job/{record.job_id}")
    return record


async def found_view(call: Call[Any, Any]) -> JobView:
    """Return the state of the job that the path names.

    Raises: JobNotFoundError.
    """
    return await job_view(call.backend.store, (await found_job(call)).job_id)


async def look(call: Call[LookQuery, None]) -> Response:
    """Return a job with all that is known of it."""
    backend = call.backend
    record = await found_job(call)
    if call.query.include == "full":
        view, _ = await backend.views.look(record.job_id)
    else:
        holder = await backend.store.claims.holder(jobs.JOBS + record.job_id)
        view = JobView(record=record, agents=[], last_fact=0, events=record.events, holder=holder)
    requests = await jobs.waiting_asks(backend.store, record.job_id)
    recent = backend.feed.newest(record.job_id, RECENT)
    row = {**job_row(view.record, backend.config), "status": view.record.status}
    body = shapes.JobView(
        job=with_result_if_kept(view.record),
        summary={**row, "events": view.events},
        agents=view.agents,
        workflow=view.workflow,
        workflow_state=view.workflow,
        human_requests=view.human_requests,
        dead_letters=view.dead_letters,
        requests=requests,
        holder=view.holder,
        last_fact=view.last_fact,
        events=view.events,
        recent_events=[],
        sandboxes=[],
        resource_usage={},
    )
    lines = b",".join(told.line for told in reversed(recent))
    return json_reply(_with_lines(plain(body), "recent_events", lines))


def _with_lines(body: dict[str, Any], name: str, lines: bytes) -> dict[str, Any]:
    return {**body, name: msgspec.Raw(b"[" + lines + b"]")}


def plain(body: Any) -> dict[str, Any]:
    """Return a value as JSON has it; references in it are described."""
    found: dict[str, Any] = msgspec.to_builtins(body, str_keys=True, enc_hook=_described)
    return found


def _described(value: Any) -> Any:
    return shown(value) if not isinstance(value, str) else value


async def list_steps(call: Call[Query, None]) -> Response:
    """Return the steps of a job, as far as they are."""
    view = await _view(call)
    steps = view.workflow.get("steps", {})
    data = [steps[step_id] for step_id in view.workflow.get("step_order", ())]
    return json_reply(shapes.Steps(job_id=view.record.job_id, data=data))


async def list_agents(call: Call[Query, None]) -> Response:
    """Return the agents of a job, as they are."""
    view = await _view(call)
    return json_reply(plain(shapes.Agents(job_id=view.record.job_id, data=view.agents)))


async def _view(call: Call[Any, Any]) -> JobView:
    return (await call.backend.views.look((await found_job(call)).job_id))[0]


async def result(call: Call[Query, None]) -> Response:
    """Return what a completed job came to.

    Raises: NoResultError, ResultGoneError.
    """
    record = with_result(await found_job(call))
    if record.status is not JobStatus.COMPLETED:
        raise NoResultError(
            f"job {record.job_id} has no result: it is {record.status}",
            hint=f"GET /api/v1/jobs/{record.job_id} tells why",
            details={"status": record.status, "job_id": record.job_id},
        )
    return json_reply(
        plain(
            shapes.Result(
                job_id=record.job_id,
                status=record.status,
                result=output_of(record),
                error=record.error,
            )
        )
    )


async def graph(call: Call[GraphQuery, None]) -> Response:
    """Return a graph of the job: as data, or drawn."""
    record = await found_job(call)
    spec = await jobs.read_spec(call.backend.store, record.job_id)
    made = agents_graph(spec) if call.query.kind == "agents" else steps_graph(spec)
    if call.query.format == "svg":
        drawn = folded(made) if call.query.folded else made
        caption = f"{spec.graph_id}: {made.name}"
        headers = {
            "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
            "cache-control": "no-store",
        }
        return Response(svg([placed(drawn)], [caption]), 200, headers, media_type="image/svg+xml")
    return json_reply(plain(shapes.Graph(name=made.name, **made.document())))


async def agent_graph(call: Call[Query, None]) -> Response:
    """Return agents and edges with what they have done."""
    view = await _view(call)
    spec = await jobs.read_spec(call.backend.store, view.record.job_id)
    made = agents_graph(spec).document()
    known = {agent.agent_id: agent for agent in view.agents}
    nodes = [
        _node(box, known.get(str(box.get("agent_id") or box.get("id")))) for box in made["nodes"]
    ]
    stats = {"nodes": len(nodes), "edges": len(made["edges"])}
    return json_reply(
        plain(shapes.Graph(name="agents", nodes=nodes, edges=made["edges"], stats=stats))
    )


def _node(box: dict[str, Any], agent: Any) -> dict[str, Any]:
    if agent is None:
        return box
    return {
        **box,
        "agent_id": agent.agent_id,
        "status": agent.status,
        "processed_messages": agent.processed_messages,
        "mailbox_depth": agent.mailbox_depth,
    }


REFUSES = (404,)
ROUTES = (
    Route(
        method="POST",
        path="/jobs",
        work=submit_job,
        summary="Submit a job",
        tag="jobs",
        scope=Scope.OPERATE,
        body=SUBMISSION,
        raw=True,
        optional=False,
        media=(JSON, ZIP),
        answers={201: Answer(body=shapes.Submitted, headers=("location",))},
        refuses=(404, 409, 413, 415),
        noun="job",
        verb="submit",
        once=True,
        headers=(("traceparent", "W3C trace context that the job becomes part of."),),
    ),
    Route(
        method="GET",
        path="/jobs",
        work=list_jobs,
        summary="List jobs",
        tag="jobs",
        query=JobsQuery,
        answers={200: Answer(body=shapes.Jobs)},
    ),
    Route(
        method="GET",
        path="/jobs/unfinished",
        work=list_unfinished,
        summary="List jobs that are not over",
        tag="jobs",
        query=Paged,
        answers={200: Answer(body=shapes.Jobs)},
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}",
        work=look,
        summary="Look at a job",
        tag="jobs",
        query=LookQuery,
        answers={200: Answer(body=shapes.JobView)},
        refuses=REFUSES,
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/steps",
        work=list_steps,
        summary="List the steps of a job",
        tag="jobs",
        answers={200: Answer(body=shapes.Steps)},
        refuses=REFUSES,
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/agents",
        work=list_agents,
        summary="List the agents of a job",
        tag="jobs",
        answers={200: Answer(body=shapes.Agents)},
        refuses=REFUSES,
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/result",
        work=result,
        summary="Read the result of a job",
        tag="jobs",
        answers={200: Answer(body=shapes.Result)},
        refuses=(404, 409),
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/graph",
        work=graph,
        summary="See a job as a graph",
        tag="jobs",
        query=GraphQuery,
        answers={200: Answer(body=shapes.Graph, media=(JSON, "image/svg+xml"))},
        refuses=REFUSES,
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/agent-graph",
        work=agent_graph,
        summary="See the agents of a job as a graph, with what they did",
        tag="jobs",
        answers={200: Answer(body=shapes.Graph)},
        refuses=REFUSES,
    ),
)
