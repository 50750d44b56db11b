"""The node: how it is, what it has, what it is told, and its manual."""

from typing import Any

from msgspec import Struct
from starlette.responses import Response

import mnedge
from mnedge.errors import NotFoundError
from mnedge.gateway import machine, manual
from mnedge.gateway.auth import known, require
from mnedge.gateway.backend import Backend
from mnedge.gateway.client_shapes import job_row
from mnedge.gateway.eligibility import eligibility
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.jobs import plain
from mnedge.gateway.rest.routing import Answer, Call, Route, json_reply
from mnedge.model.access import Scope
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.observe.metrics import CONTENT_TYPE
from mnedge.plugins.depot import depot_of
from mnedge.runtime import jobs

MOST_JOBS = 500
COMPONENT = "mnedge"


class NotScrapedError(NotFoundError):
    """The configuration keeps the figures to the API."""

    code = "metrics.not_scraped"


class Ready(Struct, frozen=True, kw_only=True):
    """Whether new work is taken."""

    ready: bool
    reasons: list[str]


class Whoami(Struct, frozen=True, kw_only=True):
    """Who the caller is to this node."""

    name: str
    scope: Scope
    kind: str
    node: str
    version: str


class Summary(Struct, frozen=True, kw_only=True):
    """The node, and its newest jobs."""

    nodes: list[shapes.Anything]
    jobs: list[shapes.Anything]
    metrics: shapes.Anything


async def health(call: Call[Query, None]) -> Response:
    """Say how this node is; a caller that is known also learns what is wrong."""
    backend = call.backend
    condition = backend.store.conditions.current
    problems: list[dict[str, Any]] = []
    if condition.name != "ok":
        problems.append(
            {
                "name": f"store.{condition.name}",
                "message": condition.message,
                "since": condition.since,
            }
        )
    seen = known(call.request.scope) is not None
    told = shapes.Health(
        status="degraded" if problems else "ok",
        component=COMPONENT,
        version=mnedge.__version__,
        node=backend.config.node if seen else "",
        problems=problems if seen else [{"name": one["name"]} for one in problems],
    )
    return json_reply(told)


async def ready(call: Call[Query, None]) -> Response:
    """Say whether new work is taken: 200 if so, else 503."""
    backend = call.backend
    reasons = []
    condition = backend.store.conditions.current
    if condition.name != "ok":
        reasons.append(f"store.{condition.name}")
    decided = await eligibility(backend.store)
    if not decided.open:
        reasons.append(f"node.{decided.status}")
    if backend.host.stopping:
        reasons.append("node.stopping")
    told = Ready(ready=not reasons, reasons=reasons)
    return json_reply(told, 503 if reasons else 200, {"retry-after": "5"} if reasons else None)


async def whoami(call: Call[Query, None]) -> Response:
    """Say who the caller is to this node."""
    caller = call.principal
    told = Whoami(
        name=caller.name,
        scope=caller.scope,
        kind=caller.kind,
        node=call.backend.config.node,
        version=mnedge.__version__,
    )
    return json_reply(told)


async def summary(call: Call[Query, None]) -> Response:
    """Return the node, its newest jobs, and how many there are of each status."""
    backend = call.backend
    found = await jobs.list_jobs(backend.store, limit=None)
    live = sum(record.status not in TERMINAL for record in found)
    counts: dict[str, Any] = {status.value: 0 for status in JobStatus}
    for record in found:
        counts[record.status.value] += 1
    told = Summary(
        nodes=[await _node(backend, live)],
        jobs=[job_row(record, backend.config) for record in found[:MOST_JOBS]],
        metrics={"jobs": {"total": len(found), "active": live, **counts}, "nodes": 1},
    )
    return json_reply(plain(told))


async def nodes(call: Call[Query, None]) -> Response:
    """Return the nodes: this one."""
    found = await jobs.open_jobs(call.backend.store)
    return json_reply(plain(shapes.Listed(data=[await _node(call.backend, len(found))])))


async def _node(backend: Backend, active: int) -> dict[str, Any]:
    decided = await eligibility(backend.store)
    return await machine.node_json(
        backend.store,
        backend.config,
        backend.pools(),
        decided,
        backend.inventory,
        active_jobs=active,
    )


class Resources(Struct, frozen=True, kw_only=True):
    """What the machine has, and what of it may be used."""

    limits: shapes.Anything
    totals: shapes.Anything
    usable: shapes.Anything
    combined: shapes.Anything
    nodes: list[shapes.Anything]
    pools: shapes.Anything
    devices: list[shapes.Anything]
    """What a job may be lent, and what is shown of the processors."""
    capabilities: list[str]
    probes: list[shapes.Anything]
    """Who looked for devices, and what kept some from it."""


async def resources(call: Call[Query, None]) -> Response:
    """Return what the machine has, what of it may be used, and how full the pools are."""
    backend = call.backend
    report = await machine.resource_report(backend.store, backend.config, backend.inventory)
    return json_reply(plain(Resources(**report, pools=plain(dict(backend.pools())))))


async def metrics(call: Call[Query, None]) -> Response:
    """Return all figures."""
    return json_reply(call.backend.metrics.as_json())


async def prometheus(call: Call[Query, None]) -> Response:
    """Return all figures as Prometheus reads them.

    Whether a token is needed, and whether they are served at all, is configured.
    """
    told = call.backend.config.trace.metrics.prometheus
    if not told.scrape:
        raise NotScrapedError("figures are not served here", hint="trace.metrics.prometheus.scrape")
    if told.auth != "none":
        require(call.request, Scope.READ)
    return Response(call.backend.metrics.exposition(), 200, {"content-type": CONTENT_TYPE})


async def jwks(call: Call[Query, None]) -> Response:
    """Return the public keys by which this node's tokens are verified."""
    return json_reply(call.backend.tokens.jwks(), 200, {"cache-control": "max-age=300"})


async def plugins(call: Call[Query, None]) -> Response:
    """Return the plugins from outside: what becomes of each at the next start, and why."""
    config = call.backend.config
    found = [
        {
            "name": record.name,
            "version": record.version,
            "state": record.state(config.plugins),
            "reason": record.quarantine.reason if record.quarantine else None,
            "stage": record.quarantine.stage if record.quarantine else None,
            "brings": record.verdict.brings if record.verdict else {},
        }
        for record in depot_of(config.data_dir).records()
    ]
    return json_reply(plain(shapes.Listed(data=found)))


async def pages(call: Call[Query, None]) -> Response:
    """Return the pages of the manual, without their text."""
    every = [
        {"topic": one.topic, "title": one.title, "summary": one.summary} for one in manual.pages()
    ]
    return json_reply(shapes.Manual(data=every))


async def page(call: Call[Query, None]) -> Response:
    """Return a page of the manual."""
    return json_reply(shapes.Page(**manual.find(call.path["topic"])._asdict()))


def _read(path: str, work: Any, summary_: str, body: Any, **more: Any) -> Route:
    answers = {200: Answer(body=body)}
    return Route(
        method="GET",
        path=path,
        work=work,
        summary=summary_,
        tag="node",
        **{"answers": answers, **more},
    )


ROUTES = (
    _read("/health", health, "Ask how the node is", shapes.Health, scope=None),
    _read(
        "/health/ready",
        ready,
        "Ask whether new work is taken",
        Ready,
        answers={200: Answer(body=Ready), 503: Answer(body=Ready)},
    ),
    _read("/whoami", whoami, "Ask who the caller is", Whoami),
    _read("/system/summary", summary, "Look at the node and its newest jobs", Summary),
    _read("/nodes", nodes, "List nodes", shapes.Listed),
    _read("/resources", resources, "See what the machine has", Resources),
    _read("/plugins", plugins, "List plugins from outside", shapes.Listed),
    _read("/metrics", metrics, "Read all figures", shapes.Anything),
    _read(
        "/metrics",
        prometheus,
        "Read all figures as Prometheus does",
        None,
        root=True,
        scope=None,
        answers={200: Answer(media=("text/plain",))},
        refuses=(401, 404),
    ),
    _read(
        "/.well-known/jwks.json",
        jwks,
        "Read the keys that verify tokens",
        shapes.Anything,
        root=True,
        scope=None,
    ),
    _read("/manual", pages, "List the pages of the manual", shapes.Manual),
    _read("/manual/{topic}", page, "Read a page of the manual", shapes.Page, refuses=(404,)),
)
