"""Run folders, also those of jobs that this node does not know any more."""

from functools import partial
from typing import Annotated, Any

import trio
from msgspec import Meta
from starlette.responses import Response

from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.jobs import plain
from mnedge.gateway.rest.paging import Paged, page_of
from mnedge.gateway.rest.routing import Answer, Call, Route, json_reply
from mnedge.store.runs.files import RunIdInvalidError, read_json, run_folder_path
from mnedge.store.runs.readers import RunNotFoundError, list_runs, read_run

_FILES = ("result", "final_artifact", "observability_summary", "inputs")


class RunsQuery(Paged, frozen=True, kw_only=True):
    """Which runs."""

    blueprint_id: Annotated[str, Meta(description="Only runs of this blueprint.")] = ""


class Run(shapes.Shape, frozen=True, kw_only=True):
    """A run folder: what `run.json` says, and the files that tell what came of it."""

    run: shapes.Anything
    result: Any = None
    final_artifact: Any = None
    observability_summary: Any = None
    inputs: Any = None


async def runs(call: Call[RunsQuery, None]) -> Response:
    """Return run folders, the one that changed last first."""
    query = call.query
    root = call.backend.config.runs_root
    look = partial(list_runs, root, blueprint_id=query.blueprint_id or None)
    every = await trio.to_thread.run_sync(look)
    found, following = page_of(every, query, _place, tuple[str, str])
    return json_reply(plain(shapes.Listed(data=found, next=following)))


def _place(run: dict[str, Any]) -> tuple[str, str]:
    changed = next(
        (
            value
            for name in ("updated_at", "ended_at", "started_at")
            if isinstance(value := run.get(name), str)
        ),
        "",
    )
    return (changed, str(run["run_id"]))


async def run(call: Call[Query, None]) -> Response:
    """Return what a run folder says of its run."""
    run_id = call.path["run_id"]
    try:
        folder = run_folder_path(call.backend.config.runs_root, run_id)
    except RunIdInvalidError as error:
        raise RunNotFoundError(f"no run is called {run_id[:80]!r}", hint=error.hint) from error

    def look() -> dict[str, Any]:
        found = {name: read_json(folder / f"{name}.json") for name in _FILES}
        return {"run": read_run(folder), **found}

    return json_reply(plain(Run(**await trio.to_thread.run_sync(look))))


ROUTES = (
    Route(
        method="GET",
        path="/runs",
        work=runs,
        summary="List run folders",
        tag="runs",
        query=RunsQuery,
        answers={200: Answer(body=shapes.Listed)},
    ),
    Route(
        method="GET",
        path="/runs/{run_id}",
        work=run,
        summary="Read what a run folder says",
        tag="runs",
        answers={200: Answer(body=Run)},
        refuses=(404,),
    ),
)
