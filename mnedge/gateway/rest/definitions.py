"""Definitions: bundles that are kept to be started again."""

from typing import Annotated, Any

from msgspec import Meta, field
from msgspec.structs import asdict
from starlette.responses import Response

from mnedge.errors import ConflictError
from mnedge.gateway.eligibility import admit
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Body, Query
from mnedge.gateway.rest.idempotency import once_of
from mnedge.gateway.rest.paging import Paged, page_of
from mnedge.gateway.rest.routing import Answer, Call, Route, json_reply
from mnedge.gateway.rest.submitting import (
    Payload,
    origin_of,
    owned,
    payloads_of,
    same_id,
)
from mnedge.model.access import Scope
from mnedge.model.records import JobRecord
from mnedge.runtime.definitions import Definition
from mnedge.runtime.jobs import JobExistsError, read_job


class DefinitionChangedError(ConflictError):
    """The definition is not as the client last saw it."""

    code = "definition.changed"
    http_status = 412


class NewDefinition(Body, frozen=True, kw_only=True):
    """What is kept."""

    manifest: dict[str, Any]
    payloads: dict[str, Payload] = field(default_factory=dict)
    definition_id: str | None = None
    configuration: dict[str, Any] | None = None
    storage: dict[str, Any] | None = None


class Changes(Body, frozen=True, kw_only=True):
    """What becomes another one; what is left out stays."""

    manifest: dict[str, Any] | None = None
    payloads: dict[str, Payload] | None = None
    configuration: dict[str, Any] | None = None
    storage: dict[str, Any] | None = None


class NewRun(Body, frozen=True, kw_only=True):
    """How the run is called, and what it works on."""

    run_id: str | None = None
    inputs: dict[str, Any] | None = None


class ListQuery(Paged, frozen=True, kw_only=True):
    """Which definitions."""

    include_archived: bool = False


class DeleteQuery(Query, frozen=True, kw_only=True):
    """Whether it is meant."""

    confirmed: Annotated[bool, Meta(description="Must be true.")] = False


async def listed(call: Call[ListQuery, None]) -> Response:
    """Return definitions, the one that changed last first."""
    every = await call.backend.definitions.every(include_archived=call.query.include_archived)
    found, following = page_of(every, call.query, _place, tuple[float, str])
    return json_reply({"data": [asdict(one) for one in found], "next": following})


def _place(one: Definition) -> tuple[float, str]:
    return (one.updated_at, one.definition_id)


async def create(call: Call[Query, NewDefinition]) -> Response:
    """Keep a bundle."""
    body = call.body
    made = await call.backend.definitions.create(
        body.manifest,
        payloads_of(body.payloads),
        definition_id=body.definition_id,
        configuration=body.configuration,
        storage=body.storage,
        by=call.principal.name,
    )
    call.concerns(f"definition/{made.definition_id}")
    place = f"/api/v1/definitions/{made.definition_id}"
    return _reply(made, 201, {"location": place})


async def look(call: Call[Query, None]) -> Response:
    """Return a definition."""
    return _reply(await call.backend.definitions.get(_id(call)))


async def update(call: Call[Query, Changes]) -> Response:
    """Change a definition; runs that have begun go on as they were."""
    body = call.body
    await _refuse_unless_seen(call)
    changed = await call.backend.definitions.update(
        _id(call),
        manifest=body.manifest,
        payloads=None if body.payloads is None else payloads_of(body.payloads),
        configuration=body.configuration,
        storage=body.storage,
    )
    return _reply(changed)


async def delete(call: Call[DeleteQuery, None]) -> Response:
    """Forget a definition; its runs stay, as history."""
    await _refuse_unless_seen(call)
    gone = await call.backend.definitions.delete(_id(call), confirmed=call.query.confirmed)
    return json_reply(asdict(gone))


async def archive(call: Call[Query, None]) -> Response:
    """Take no more runs of a definition."""
    return _reply(await call.backend.definitions.archive(_id(call)))


async def reset(call: Call[Query, None]) -> Response:
    """Remove the data that the runs of a definition share."""
    return _reply(await call.backend.definitions.reset_data(_id(call)))


async def start_run(call: Call[Query, NewRun]) -> Response:
    """Start a definition once more."""
    backend = call.backend
    await admit(backend.store)
    again = once_of(call.request)
    run_id = call.body.run_id or None
    if run_id is None and again is not None:
        run_id = same_id(again, (await backend.definitions.get(_id(call))).graph_id)

    async def made(own: Any) -> JobRecord:
        return await backend.definitions.start_run(
            _id(call),
            run_id=run_id,
            inputs=call.body.inputs,
            own=own,
            origin=origin_of(call.request),
        )

    try:
        record = await owned(backend, made)
    except JobExistsError:
        if again is None or call.body.run_id or run_id is None:
            raise
        record = await read_job(backend.store, run_id)  # from before a crash
    place = f"/api/v1/jobs/{record.job_id}"
    told = shapes.Submitted(
        job=record,
        job_id=record.job_id,
        id=record.job_id,
        status=record.status,
        links={"self": place, "definition": f"/api/v1/definitions/{_id(call)}"},
    )
    return json_reply(told, 201, {"location": place})


async def runs(call: Call[Paged, None]) -> Response:
    """Return the jobs of a definition, the one that changed last first."""
    every = await call.backend.definitions.runs_of(_id(call))
    found, following = page_of(every, call.query, _run_place, tuple[float, str])
    return json_reply(shapes.Jobs(data=found, next=following))


def _run_place(one: JobRecord) -> tuple[float, str]:
    return (one.updated_at, one.job_id)


def _id(call: Call[Any, Any]) -> str:
    return call.path["definition_id"]


def _reply(one: Definition, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return json_reply(asdict(one), status, {"etag": _tag(one), **(headers or {})})


def _tag(one: Definition) -> str:
    return f'"{one.version}-{int(one.updated_at * 1000):x}"'


async def _refuse_unless_seen(call: Call[Any, Any]) -> None:
    """Refuse a change of something that changed since the client looked at it."""
    wanted = call.request.headers.get("if-match")
    if wanted is None:
        return
    now = _tag(await call.backend.definitions.get(_id(call)))
    if now not in [one.strip() for one in wanted.split(",")] and wanted.strip() != "*":
        raise DefinitionChangedError(
            f"definition {_id(call)!r} has changed meanwhile",
            hint="read it again, and send its new ETag",
            details={"etag": now},
        )


_MATCH = (("if-match", "The `ETag` of the definition as the client has it."),)
_ONE = "/definitions/{definition_id}"
ROUTES = (
    Route(
        method="GET",
        path="/definitions",
        work=listed,
        summary="List definitions",
        tag="definitions",
        query=ListQuery,
        answers={200: Answer(body=shapes.DefinitionsPage)},
    ),
    Route(
        method="POST",
        path="/definitions",
        work=create,
        summary="Keep a bundle to be started again",
        tag="definitions",
        scope=Scope.OPERATE,
        body=NewDefinition,
        optional=False,
        answers={201: Answer(body=Definition, headers=("location", "etag"))},
        refuses=(409, 413),
        noun="definition",
        verb="create",
        once=True,
    ),
    Route(
        method="GET",
        path=_ONE,
        work=look,
        summary="Look at a definition",
        tag="definitions",
        answers={200: Answer(body=Definition, headers=("etag",))},
        refuses=(404,),
    ),
    Route(
        method="PATCH",
        path=_ONE,
        work=update,
        summary="Change a definition",
        tag="definitions",
        scope=Scope.OPERATE,
        body=Changes,
        answers={200: Answer(body=Definition, headers=("etag",))},
        refuses=(404, 409, 412, 413),
        noun="definition",
        verb="update",
        headers=_MATCH,
    ),
    Route(
        method="DELETE",
        path=_ONE,
        work=delete,
        summary="Forget a definition",
        tag="definitions",
        scope=Scope.OPERATE,
        query=DeleteQuery,
        answers={200: Answer(body=Definition)},
        refuses=(404, 409, 412),
        noun="definition",
        verb="delete",
        headers=_MATCH,
    ),
    Route(
        method="POST",
        path=f"{_ONE}/archive",
        work=archive,
        summary="Take no more runs of a definition",
        tag="definitions",
        scope=Scope.OPERATE,
        answers={200: Answer(body=Definition)},
        refuses=(404, 409),
        noun="definition",
        verb="archive",
        once=True,
    ),
    Route(
        method="POST",
        path=f"{_ONE}/reset",
        work=reset,
        summary="Remove the data that its runs share",
        tag="definitions",
        scope=Scope.OPERATE,
        answers={200: Answer(body=Definition)},
        refuses=(404, 409),
        noun="definition",
        verb="reset",
        once=True,
    ),
    Route(
        method="GET",
        path=f"{_ONE}/runs",
        work=runs,
        summary="List the runs of a definition",
        tag="definitions",
        query=Paged,
        answers={200: Answer(body=shapes.Jobs)},
        refuses=(404,),
    ),
    Route(
        method="POST",
        path=f"{_ONE}/runs",
        work=start_run,
        summary="Start a definition once more",
        tag="definitions",
        scope=Scope.OPERATE,
        body=NewRun,
        answers={201: Answer(body=shapes.Submitted, headers=("location",))},
        refuses=(404, 409),
        noun="definition",
        verb="start",
        once=True,
    ),
)
