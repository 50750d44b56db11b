"""mirrorneuron.job.v2: definitions, which the wire calls jobs, and their runs."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from mnedge.errors import ConflictError, UsageError
from mnedge.gateway.client_shapes import definition_json, run_json, run_row, status_of
from mnedge.gateway.eligibility import admit
from mnedge.gateway.grpc.calls import Call, Values
from mnedge.gateway.grpc.reading import SETTLE_S, steered, whole_job
from mnedge.model.body import json_bytes
from mnedge.model.states import Verb
from mnedge.runtime import jobs
from mnedge.runtime.answers import chosen_request, decisions_of, respond
from mnedge.runtime.clearing import forget_job
from mnedge.runtime.view import job_view

INPUTS = "run_input/"
"""What an idempotency key stands for: `run_input/<run>/<hash of the key>`."""


class InputRepeatedError(ConflictError):
    """An idempotency key comes again, with another input."""

    code = "run.input_repeated"


class UnconfirmedError(UsageError):
    """A run is deleted only by a request that says so twice."""

    code = "run.unconfirmed"


def _json(document: Mapping[str, Any]) -> Values:
    return {"result_json": json_bytes(document).decode(), "version": 2}


def _data(rows: Sequence[Any]) -> Values:
    """Return as many of the newest as one message holds."""
    document: dict[str, Any] = {"data": list(rows)}
    while len(content := json_bytes(document)) > 3_500_000:
        kept = document["data"]
        document = {"data": kept[: len(kept) * 3_400_000 // len(content)], "trimmed": ["data"]}
    return _json(document)


# ---- definitions ----


async def create_job(call: Call) -> Values:
    """Keep what was sent, to be started later."""
    manifest = call.json("manifest_json")
    if not manifest:
        raise UsageError("manifest_json is empty", hint="send the bundle's manifest.json")
    made = await call.backend.definitions.create(
        manifest,
        call.request["payloads"],
        definition_id=call.text("job_id").strip() or None,
        configuration=call.json("resolved_configuration_json"),
        storage=call.json("storage_json"),
        by=call.caller,
    )
    call.changes(f"definition/{made.definition_id}")
    return _json(definition_json(made))


async def get_job(call: Call) -> Values:
    """Return a definition."""
    found = await call.backend.definitions.get(call.required("job_id"))
    return _json(definition_json(found))


async def list_jobs(call: Call) -> Values:
    """Return the definitions."""
    found = await call.backend.definitions.every(include_archived=call.request["include_archived"])
    rows = []
    for one in found:
        row = definition_json(one)
        rows.append({key: row[key] for key in row if key not in ("configuration", "storage")})
    return _data(rows)


async def update_job(call: Call) -> Values:
    """Replace a definition's bundle, configuration or storage."""
    attrs = call.json("attrs_json")
    manifest = call.json("manifest_json")
    changed = await call.backend.definitions.update(
        call.required("job_id"),
        manifest=manifest or None,
        payloads=call.request["payloads"] if manifest else None,
        configuration=_object(attrs, "resolved_configuration", "configuration"),
        storage=_object(attrs, "storage"),
    )
    return _json(definition_json(changed))


def _object(attrs: Mapping[str, Any], *names: str) -> dict[str, Any] | None:
    for name in names:
        value = attrs.get(name)
        if value is None:
            continue
        if not isinstance(value, dict):
            raise UsageError(f"attrs_json.{name} must be an object")
        return value
    return None


async def archive_job(call: Call) -> Values:
    """Take no more runs of a definition."""
    found = await call.backend.definitions.archive(call.required("job_id"))
    return _json(definition_json(found))


async def reset_job_data(call: Call) -> Values:
    """Remove what the runs of a definition share."""
    found = await call.backend.definitions.reset_data(call.required("job_id"))
    return _json(definition_json(found))


async def delete_job(call: Call) -> Values:
    """Forget a definition; its runs stay."""
    found = await call.backend.definitions.delete(
        call.required("job_id"), confirmed=call.request["confirmed"]
    )
    shown = definition_json(found)
    retired = {
        "graph_id": found.graph_id,
        "metadata": {"mn_storage": found.storage} if found.storage else {},
    }
    return _json({**shown, "status": "deleted", "retired_definition_resources": retired})


# ---- runs ----


async def start_run(call: Call) -> Values:
    """Begin a run of a definition."""
    await admit(call.backend.store)
    record = await call.backend.definitions.start_run(
        call.required("job_id"),
        run_id=call.text("run_id").strip() or None,
        inputs=call.json("inputs_json"),
        origin=call.origin,
    )
    call.changes(f"job/{record.job_id}")
    return _json(run_row(record))


async def list_runs(call: Call) -> Values:
    """Return the runs of a definition."""
    found = await call.backend.definitions.runs_of(call.required("job_id"))
    return _data([run_row(record) for record in found])


async def get_run(call: Call) -> Values:
    """Return a run whole."""
    record, document = await whole_job(call, call.required("run_id"))
    return _json(run_json(document, record))


async def pause_run(call: Call) -> Values:
    """Pause a run."""
    return await _asked(call, Verb.PAUSE)


async def resume_run(call: Call) -> Values:
    """Let a paused run go on."""
    return await _asked(call, Verb.RESUME)


async def cancel_run(call: Call) -> Values:
    """Cancel a run."""
    return await _asked(call, Verb.CANCEL)


async def _asked(call: Call, verb: Verb) -> Values:
    record = await steered(call, call.required("run_id"), verb)
    return _json(run_row(record))


async def delete_run(call: Call) -> Values:
    """Forget a run that is over; its folder stays."""
    run_id = call.required("run_id")
    backend = call.backend
    await jobs.read_job(backend.store, run_id)
    if not call.request["confirmed"]:
        raise UnconfirmedError(
            f"deleting run {run_id!r} needs a confirmation", hint="send `confirmed: true`"
        )
    record = await forget_job(backend.store, backend.config, backend.host, run_id)
    return _json({**run_row(record), "status": "deleted", "deleted": True})


async def send_run_input(call: Call) -> Values:
    """Answer a request by which a run waits for a person; a repeated key answers once."""
    backend, run_id = call.backend, call.required("run_id")
    key = call.required("idempotency_key")
    payload, input_id = call.json("payload_json"), call.text("input_id").strip()
    place = f"{INPUTS}{run_id}/{sha256(key.encode()).hexdigest()[:32]}"
    digest = sha256(json_bytes([input_id, payload])).hexdigest()
    kept = await backend.store.table.get(place)
    if kept is not None:
        return _again(kept.value, digest)
    view = await job_view(backend.store, run_id)
    waiting = chosen_request(view, input_id or None)
    decision = _decision(payload, decisions_of(waiting))
    asked, answered = await respond(
        backend.store,
        view,
        decision,
        now=backend.now,
        request_id=str(waiting["request_id"]),
        by=call.caller,
        comment=str(payload.get("comment") or payload.get("notes") or ""),
        more={k: v for k, v in payload.items() if k not in ("decision", "comment")},
    )
    record = await jobs.settled(backend.store, asked, timeout_s=SETTLE_S)
    shown = {
        "run_id": run_id,
        "job_id": record.definition_id or run_id,
        "input_id": str(answered["request_id"]),
        "decision": decision,
        "status": status_of(record),
        "accepted": True,
    }
    await backend.store.table.put(place, json_bytes({"digest": digest, "answer": shown}))
    return _json(shown)


def _again(kept: bytes, digest: str) -> Values:
    known = msgspec.json.decode(kept, type=dict[str, Any])
    if known["digest"] != digest:
        raise InputRepeatedError(
            "this idempotency key came before, with another input", hint="draw a new key"
        )
    return _json(known["answer"])


def _decision(payload: Mapping[str, Any], allowed: Sequence[str]) -> str:
    """Return the decision that a payload stands for."""
    said = payload.get("decision")
    if isinstance(said, str):
        return said
    approved = payload.get("approved")
    if isinstance(approved, bool):
        words = ("approve", "approved", "yes") if approved else ("reject", "rejected", "no")
        return next((word for word in words if word in allowed), words[0])
    raise UsageError(
        "payload_json holds no decision",
        hint=f'{{"decision": …}}, one of {", ".join(allowed)}; or {{"approved": true}}',
    )
