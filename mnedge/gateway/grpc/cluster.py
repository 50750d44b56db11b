"""mirrorneuron.cluster.v1: this node. There is no other one yet."""

from typing import Any

from msgspec.structs import replace

from mnedge.errors import ConflictError
from mnedge.gateway import machine
from mnedge.gateway.client_shapes import job_row
from mnedge.gateway.eligibility import Eligibility, decide, eligibility, undrained
from mnedge.gateway.grpc.calls import Call, Values, json_object
from mnedge.gateway.grpc.declared import Query, declared_services
from mnedge.gateway.nodes import node_name, refuse_other_nodes
from mnedge.gateway.operations import Operation
from mnedge.model.body import json_bytes
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.runtime import jobs

MOST_JOBS = 100


class AloneError(ConflictError):
    """This node belongs to no cluster."""

    code = "cluster.alone"


# ---- the node ----


async def get_system_summary(call: Call) -> Values:
    """Return the node, and its newest jobs."""
    backend, config = call.backend, call.backend.config
    found = await jobs.list_jobs(backend.store, limit=None)
    live = [record for record in found if record.status not in TERMINAL]
    counts = {status.value: 0 for status in JobStatus}
    for record in found:
        counts[record.status.value] += 1
    node = await machine.node_json(
        backend.store,
        config,
        backend.pools(),
        await eligibility(backend.store),
        backend.inventory,
        active_jobs=len(live),
    )
    summary = {
        "nodes": [node],
        "jobs": [job_row(record, config) for record in found[:MOST_JOBS]],
        "metrics": {"jobs": {"total": len(found), "active": len(live), **counts}, "nodes": 1},
    }
    return {"summary_json": json_bytes(summary).decode(), "version": 1}


async def get_resource(call: Call) -> Values:
    """Return what the machine has, and what of it may be used."""
    report = await machine.resource_report(
        call.backend.store, call.backend.config, call.backend.inventory
    )
    return _resource(report)


async def set_resource(call: Call) -> Values:
    """Keep which share of the machine may be used."""
    backend = call.backend
    await machine.set_limits(backend.store, call.json("resource_json"))
    call.changes(f"node/{node_name(backend.config)}")
    report = await machine.resource_report(backend.store, backend.config, backend.inventory)
    return _resource({**report, "status": "updated"})


async def get_runtime_statuses(call: Call) -> Values:
    """Return what nodes tell of the models they serve: nothing."""
    return _resource({"nodes": [], "events": [], "node": node_name(call.backend.config)})


def _resource(document: dict[str, Any]) -> Values:
    return {"resource_json": json_bytes(document).decode(), "version": 1}


# ---- closing and emptying it ----


async def set_node_maintenance(call: Call) -> Values:
    """Close the node for new work, or open it again."""
    config = _this_node(call)
    before = await eligibility(call.backend.store)
    decided = replace(
        before,
        maintenance=call.request["enabled"],
        reason=call.text("reason"),
        by=call.caller,
        since=call.backend.now(),
    )
    await decide(call.backend.store, decided)
    return _decided(decided, config)


async def cancel_node_drain(call: Call) -> Values:
    """Empty the node no longer; `mark_eligible` opens it for new work altogether."""
    config = _this_node(call)
    decided = replace(
        undrained(await eligibility(call.backend.store)),
        reason=call.text("reason"),
        by=call.caller,
        since=call.backend.now(),
    )
    if call.request["mark_eligible"]:
        decided = replace(decided, maintenance=False)
    await decide(call.backend.store, decided)
    return _decided(decided, config)


async def drain_node(call: Call) -> Values:
    """Empty the node; return how the emptying stands."""
    config = _this_node(call)
    fields = ("node_name", "reason", "dry_run", "deadline_ms", "ignore_system_jobs")
    options = {name: call.request[name] for name in fields}
    one = await call.backend.operations.start("drain_node", options, by=call.caller)
    if call.request["wait"]:
        await call.backend.operations.follow(one.operation_id, _ignored)
        one = await call.backend.operations.get(one.operation_id)
    if options["dry_run"]:
        shown = {"status": "dry_run", "jobs": one.targets}
        return _drained(await eligibility(call.backend.store), one, shown, config)
    decided = await eligibility(call.backend.store)
    return _drained(decided, one, {"status": decided.drain_status or "draining"}, config)


async def _ignored(event: dict[str, Any]) -> None:
    del event


def _drained(decided: Eligibility, one: Operation, drain: dict[str, Any], config: Any) -> Values:
    shown = {**_shown(decided, config), "drain": drain, "operation": one.shown()}
    return _result(shown)


async def get_node_drain_status(call: Call) -> Values:
    """Return how far the emptying of the node has come."""
    config = _this_node(call)
    decided = await eligibility(call.backend.store)
    shown = _shown(decided, config)
    if decided.operation_id:
        one = await call.backend.operations.get(decided.operation_id)
        shown["operation"] = one.shown()
    return _result(shown)


async def reconcile_node(call: Call) -> Values:
    """Take up the node's jobs that nobody owns."""
    config = _this_node(call)
    options = {name: call.request[name] for name in ("node_name", "reason", "dry_run")}
    one = await call.backend.operations.start("reconcile_node", options, by=call.caller)
    await call.backend.operations.follow(one.operation_id, _ignored)
    one = await call.backend.operations.get(one.operation_id)
    return _result({"node": node_name(config), "status": one.status, "operation": one.shown()})


def _this_node(call: Call) -> Any:
    config = call.backend.config
    refuse_other_nodes(call.required("node_name"), config)
    call.changes(f"node/{node_name(config)}")
    return config


def _decided(decided: Eligibility, config: Any) -> Values:
    return _result(_shown(decided, config))


def _shown(decided: Eligibility, config: Any) -> dict[str, Any]:
    return {
        "node": node_name(config),
        "status": decided.status,
        "scheduling_eligible": decided.open,
        "maintenance": decided.maintenance,
        "reason": decided.reason,
        "drain": {"status": decided.drain_status} if decided.drain_status else None,
    }


def _result(document: dict[str, Any]) -> Values:
    return {"result_json": json_bytes(document).decode(), "version": 1}


# ---- other nodes ----


async def network_handshake(call: Call) -> Values:
    """Refuse to be joined."""
    raise AloneError(
        f"{node_name(call.backend.config)} belongs to no cluster and cannot be joined",
        hint="run jobs on it directly: point MN_GRPC_TARGET at its gRPC address",
    )


async def add_node(call: Call) -> Values:
    """Refuse to know other nodes."""
    raise AloneError(
        f"{node_name(call.backend.config)} belongs to no cluster: {call.text('node_name')[:80]!r}"
        " cannot be added",
        hint="each node carries its own jobs",
    )


async def remove_node(call: Call) -> Values:
    """Refuse: this node cannot leave itself, and knows no other."""
    config = call.backend.config
    refuse_other_nodes(call.required("node_name"), config)
    raise AloneError(
        f"{node_name(config)} belongs to no cluster that it could leave",
        hint="stop its daemon instead",
    )


# ---- services ----


async def list_services(call: Call) -> Values:
    """Return what running jobs offer."""
    return await _services(call, call.json("query_json"))


async def resolve_service(call: Call) -> Values:
    """Return where running jobs offer a service of that name."""
    name = call.required("name")
    return await _services(call, {**call.json("query_json"), "name": name})


async def check_services(call: Call) -> Values:
    """Return for each service asked for whether a running job offers it."""
    text = call.text("services_json").strip()
    wanted = _wanted(text)
    results = []
    for one in wanted:
        found = await _found(call, {"passing_only": True, **one})
        results.append({**one, "ok": bool(found), "services": found})
    return _result({"ok": all(one["ok"] for one in results), "results": results})


def _wanted(text: str) -> list[dict[str, Any]]:
    if text.startswith("["):
        wrapped = json_object(f'{{"services":{text}}}', "services_json")
    else:
        wrapped = json_object(text, "services_json")
    given = wrapped.get("services", [])
    given = given if isinstance(given, list) else []
    named = [{"name": one} if isinstance(one, str) else one for one in given]
    return [one for one in named if isinstance(one, dict)]


async def _services(call: Call, query: dict[str, Any]) -> Values:
    return _result({"services": await _found(call, query)})


async def _found(call: Call, query: dict[str, Any]) -> list[dict[str, Any]]:
    backend = call.backend
    running = await jobs.list_jobs(
        backend.store, limit=None, statuses=frozenset({JobStatus.RUNNING})
    )
    asked = Query.of(query)
    found = []
    for record in running:
        if asked.job_id in (None, record.job_id):
            spec = await jobs.read_spec(backend.store, record.job_id)
            found += declared_services(spec, record, backend.config)
    return [one for one in found if asked.wants(one)]
