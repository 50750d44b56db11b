"""Jobs, events and definitions as the published client reads them.

Source: client surface 1.3.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from mnedge.config.settings import Config
from mnedge.engine.inspect import AgentView
from mnedge.gateway.nodes import node_name
from mnedge.model.body import json_bytes, shown
from mnedge.model.manifest import JobSpec
from mnedge.model.message import iso_ms, iso_ms_or_none
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.runtime.definitions import Definition
from mnedge.runtime.view import JobView
from mnedge.store.runs.places import Told
from mnedge.store.runs.readers import record_of

REPLY_BYTES = 3_500_000
"""Of one JSON document: a client takes 4 MiB with all that is around it."""
_SHOWN = {JobStatus.FAULTED: "paused"}
"""Ours → theirs: what a person must look at stands still, and is not over."""


def status_of(record: JobRecord) -> str:
    """Return the status in the client's words."""
    return _SHOWN.get(record.status, record.status.value)


def job_row(record: JobRecord, config: Config) -> dict[str, Any]:
    """Return a job as lists show it."""
    review = record.review or ("the engine refused a fact" if record.fault else "")
    status = "requires_review" if review else "ok"
    return {
        "job_id": record.job_id,
        "run_id": record.job_id,
        "definition_id": record.definition_id,
        "graph_id": record.graph_id,
        "job_name": record.job_name,
        "job_type": record.job_type,
        "type": record.job_type,
        "blueprint_id": record.blueprint_id,
        "status": status_of(record),
        "submitted_at": iso_ms(record.submitted_at),
        "created_at": iso_ms(record.submitted_at),
        "updated_at": iso_ms(record.updated_at),
        "started_at": iso_ms_or_none(record.started_at),
        "ended_at": iso_ms_or_none(record.ended_at),
        "live?": record.status not in TERMINAL,
        "nodes": [node_name(config)],
        "executor_count": record.agents,
        "active_executors": 0 if record.status in TERMINAL else record.agents,
        "recovery_mode": record.recovery_mode,
        "recovery_status": status,
        "recovery_requires_review": bool(review),
        "recovery": {"status": status, "requires_review": bool(review), "reason": review},
        "waiting_for_human": record.waiting_for_human,
    }


def job_json(
    record: JobRecord,
    view: JobView | None,
    recent: Sequence[Told],
    spec: JobSpec | None,
    config: Config,
) -> dict[str, Any]:
    """Return a job whole, as much of it as one message holds; `recent` is newest first."""
    row = job_row(record, config)
    job = {
        **row,
        "result": _plain(record.result),
        "error": _plain(record.error),
        "failure": _plain(record.error),
        "run_folder": record.run_folder,
        "submitted_by": record.submitted_by,
        "metadata": {},
    }
    job["topology"] = job["runtime_topology"] = {} if spec is None else topology(spec)
    if record.fault is not None:
        job["fault"] = _plain(record.fault)
    agents = [] if view is None else view.agents
    outbound: dict[str, list[str]] = {}
    for one in job["topology"].get("edges", ()):
        targets = outbound.setdefault(one["from_node"], [])
        if one["to_node"] not in targets:
            targets.append(one["to_node"])
    document: dict[str, Any] = {
        "job": job,
        "summary": {**row, "events": record.events},
        "agents": [
            agent_json(one, record, outbound.get(one.agent_id, []), config) for one in agents
        ],
        "recent_events": [event_json(one, record.job_id, config) for one in recent],
        "sandboxes": [],
        "resource_usage": {},
    }
    if view is not None:
        document["human_requests"] = _plain(view.human_requests)
        document["dead_letters"] = _plain(view.dead_letters)
        document["job"]["workflow_state"] = document["summary"]["workflow_state"] = view.workflow
    return fitted(document)


def agent_json(
    view: AgentView, record: JobRecord, outbound: Sequence[str], config: Config
) -> dict[str, Any]:
    """Return an agent as part of its job; `outbound`: the agents that it sends to."""
    return {
        "agent_id": view.agent_id,
        "agent_type": view.kind,
        "type": view.template,
        "role": view.role,
        "display_name": view.display_name,
        "assigned_node": node_name(config),
        "status": view.status,
        "processed_messages": view.processed_messages,
        "mailbox_depth": view.mailbox_depth,
        "paused?": view.status == "paused",
        "live?": record.status not in TERMINAL,
        "backpressure": {"level": view.pressure, "held": view.held_for_it},
        "last_error": view.last_error,
        "metadata": {"outbound_edges": list(outbound)},
        "current_state": _plain(view.current_state),
    }


def topology(spec: JobSpec) -> dict[str, Any]:
    """Return what the job is made of, without the configuration of its agents."""
    return {
        "nodes": [
            {"node_id": one.agent_id, "agent_type": one.kind.value, "role": one.role}
            for one in spec.agents
        ],
        "edges": [
            {
                "edge_id": one.edge_id,
                "from_node": one.sender,
                "to_node": one.target,
                "message_type": one.message_type,
            }
            for one in spec.edges
        ],
    }


def event_json(told: Told, job_id: str, config: Config) -> dict[str, Any]:
    """Return one record of a job's event stream.

    Clients drop what has the same time, type, agent, node and message as a record before it. So
    each has an id of its own as its message.
    """
    record = record_of(told.line, job_id)
    payload = record.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    event = {
        **record,
        "timestamp": record["ts"],
        "node": payload.get("node") or record.get("node") or node_name(config),
        "agent_id": record.get("agent_id"),
        "message_id": record.get("event_id") or f"{job_id}:{told.mark}",
        "payload": payload,
        "job_id": record.get("job_id") or job_id,
    }
    for name in ("result", "reason", "error", "failure"):
        if name not in event and payload.get(name) is not None:
            event[name] = payload[name]
    if isinstance(event.get("error"), dict):
        event.setdefault("failure", event["error"])
    return event


def definition_json(one: Definition) -> dict[str, Any]:
    """Return a definition: what the wire calls a job."""
    shown = {
        "job_id": one.definition_id,
        "status": one.status,
        "graph_id": one.graph_id,
        "job_name": one.job_name,
        "blueprint_id": one.blueprint_id,
        "version": one.version,
        "created_at": iso_ms(one.created_at),
        "updated_at": iso_ms(one.updated_at),
        "archived_at": iso_ms_or_none(one.archived_at),
        "created_by": one.created_by,
        "data_generation": one.data_generation,
        "manifest_ref": {"digest": one.bundle_digest},
        "configuration": one.configuration,
        "storage": one.storage,
    }
    return fitted(shown, (("configuration",),))


def run_row(record: JobRecord) -> dict[str, Any]:
    """Return a run of a definition as lists show it: its `job_id` is the definition's."""
    return {
        "run_id": record.job_id,
        "job_id": record.definition_id or record.job_id,
        "graph_id": record.graph_id,
        "job_name": record.job_name,
        "status": status_of(record),
        "created_at": iso_ms(record.submitted_at),
        "updated_at": iso_ms(record.updated_at),
        "started_at": iso_ms_or_none(record.started_at),
        "ended_at": iso_ms_or_none(record.ended_at),
    }


def run_json(document: dict[str, Any], record: JobRecord) -> dict[str, Any]:
    """Return a run whole: `job_json`, and what newer clients look for at its top."""
    job = document["job"]
    return {
        **document,
        **run_row(record),
        "result": job.get("result"),
        "error": job.get("error"),
        "workflow_state": job.get("workflow_state", {}),
    }


_FIRST_TO_GO = (
    ("job", "workflow_state", "messages"),
    ("summary", "workflow_state"),
    ("agents", "*", "current_state"),
    ("recent_events",),
    ("dead_letters",),
    ("job", "runtime_topology"),
    ("job", "topology"),
    ("job", "workflow_state"),
    ("agents",),
    ("job", "result"),
    ("human_requests",),
)


def fitted(
    document: dict[str, Any], first_to_go: Sequence[tuple[str, ...]] = _FIRST_TO_GO
) -> dict[str, Any]:
    """Return the document, without what makes it too large for one message.

    `trimmed` lists what is missing.
    """
    trimmed: list[str] = []
    for path in first_to_go:
        if len(json_bytes(document)) <= REPLY_BYTES:
            break
        document = _without(document, path)
        trimmed.append(".".join(path))
        document["trimmed"] = trimmed
    return document


def _without(value: Any, path: Sequence[str]) -> Any:
    if path[0] == "*":
        return [_without(one, path[1:]) for one in value]
    if not isinstance(value, dict) or path[0] not in value:
        return value
    if len(path) == 1:
        empty: Any = [] if isinstance(value[path[0]], list) else None
        return {**value, path[0]: {} if isinstance(value[path[0]], dict) else empty}
    return {**value, path[0]: _without(value[path[0]], path[1:])}


def _plain(value: Any) -> Any:
    """Return the value as JSON has it."""
    return msgspec.to_builtins(shown(value), str_keys=True, enc_hook=str)
