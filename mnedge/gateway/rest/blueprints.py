"""Blueprints that this node has, and whether a bundle is valid."""

from typing import Any

import trio
from msgspec import field
from starlette.responses import Response

from mnedge.bundle.catalogue import Entry, listed
from mnedge.bundle.compiled import ir_document
from mnedge.bundle.drawing.graphs import agents_graph, steps_graph
from mnedge.bundle.load import Bundle, open_bundle, runnable_problems
from mnedge.bundle.problem import BundleInvalidError, Severity
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Body, Query
from mnedge.gateway.rest.jobs import plain
from mnedge.gateway.rest.paging import Paged, cursor_of, place_of
from mnedge.gateway.rest.routing import JSON, ZIP, Answer, Call, Route, json_reply, media_type
from mnedge.gateway.rest.submitting import (
    SUBMISSION,
    Sent,
    blueprint_of,
    opened,
    problems_in,
    sent_of,
)
from mnedge.model.access import Scope


class Blueprint(shapes.Shape, frozen=True, kw_only=True):
    """A blueprint with what it comes to."""

    blueprint: shapes.Anything
    valid: bool
    errors: list[shapes.Anything]
    warnings: list[shapes.Anything]
    manifest: shapes.Anything | None = None
    """Lowered; null if it is not valid."""
    graphs: shapes.Anything = field(default_factory=dict)
    config: shapes.Anything = field(default_factory=dict)
    inputs: shapes.Anything = field(default_factory=dict)


class ValidateBody(Body, frozen=True, kw_only=True):
    """With which configuration and inputs."""

    config: dict[str, Any] | None = None
    inputs: dict[str, Any] | None = None


async def blueprints(call: Call[Paged, None]) -> Response:
    """Return the blueprints, in the order of the catalogue."""
    every = await trio.to_thread.run_sync(listed, call.backend.config.environ)
    start = place_of(call.query.cursor, tuple[int])[0] if call.query.cursor else 0
    found = every[max(0, start) : max(0, start) + call.query.limit]
    end = max(0, start) + len(found)
    return json_reply(
        shapes.Blueprints(
            data=[_record(one) for one in found],
            next=cursor_of(end) if end < len(every) else None,
        )
    )


def _record(entry: Entry) -> dict[str, Any]:
    return {**entry.record(), "id": entry.blueprint_id}


async def blueprint(call: Call[Query, None]) -> Response:
    """Return a blueprint with its graphs, its config and what the rules say of it."""
    entry = blueprint_of(call.backend, call.path["blueprint_id"])
    environ = call.backend.config.environ

    def look() -> Blueprint:
        with open_bundle(entry.folder, environ=environ, run_code=False) as bundle:
            spec = bundle.spec
            graphs = [] if spec is None else [steps_graph(spec), agents_graph(spec)]
            return Blueprint(
                blueprint=_record(entry),
                valid=not bundle.errors and spec is not None,
                errors=[one.record() for one in bundle.errors],
                warnings=[one.record() for one in bundle.warnings],
                manifest=None if spec is None else ir_document(spec),
                graphs={made.name: made.document() for made in graphs},
                config=dict(bundle.config),
                inputs={} if spec is None else spec.inputs,
            )

    return json_reply(plain(await trio.to_thread.run_sync(look)))


async def validate_known(call: Call[Query, ValidateBody]) -> Response:
    """Say what the rules find in a blueprint of this node."""
    entry = blueprint_of(call.backend, call.path["blueprint_id"])
    sent = Sent(blueprint=entry, config=call.body.config, inputs=call.body.inputs)
    return await _verdict(call, sent)


async def validate_sent(call: Call[Query, bytes]) -> Response:
    """Say what the rules find in what was sent."""
    return await _verdict(call, sent_of(call.backend, call.body, media_type(call.request)))


async def _verdict(call: Call[Any, Any], sent: Sent) -> Response:
    try:
        async with opened(call.backend, sent) as bundle:
            told = _told(call, bundle)
    except BundleInvalidError as error:
        found = problems_in(error)
        told = shapes.Verdict(valid=False, blueprint_id=None, errors=found, warnings=[])
    return json_reply(plain(told))


def _told(call: Call[Any, Any], bundle: Bundle) -> shapes.Verdict:
    backend = call.backend
    found = [*bundle.problems]
    if not bundle.errors and bundle.spec is not None:
        fallback = backend.config.openshell_fallback
        found += runnable_problems(bundle, backend.runners, openshell_fallback=fallback)
    errors = [one.record() for one in found if one.severity is Severity.ERROR]
    return shapes.Verdict(
        valid=not errors and bundle.spec is not None,
        blueprint_id=bundle.blueprint_id,
        errors=errors,
        warnings=[one.record() for one in found if one.severity is not Severity.ERROR],
    )


ROUTES = (
    Route(
        method="GET",
        path="/blueprints",
        work=blueprints,
        summary="List the blueprints of this node",
        tag="blueprints",
        query=Paged,
        answers={200: Answer(body=shapes.Blueprints)},
    ),
    Route(
        method="GET",
        path="/blueprints/{blueprint_id}",
        work=blueprint,
        summary="Look at a blueprint",
        tag="blueprints",
        answers={200: Answer(body=Blueprint)},
        refuses=(404,),
    ),
    Route(
        method="POST",
        path="/blueprints/validate",
        work=validate_sent,
        summary="Check a bundle against the rules, without running it",
        tag="blueprints",
        scope=Scope.READ,
        body=SUBMISSION,
        raw=True,
        optional=False,
        media=(JSON, ZIP),
        answers={200: Answer(body=shapes.Verdict)},
        refuses=(404, 413, 415),
    ),
    Route(
        method="POST",
        path="/blueprints/{blueprint_id}/validate",
        work=validate_known,
        summary="Check a blueprint of this node against the rules",
        tag="blueprints",
        scope=Scope.READ,
        body=ValidateBody,
        answers={200: Answer(body=shapes.Verdict)},
        refuses=(404,),
    ),
)
