"""mirrorneuron.job.v1: jobs, as older clients know them. A job here is a run of `job.v2`."""

from mnedge.errors import UsageError
from mnedge.gateway.client_shapes import fitted, job_row, status_of
from mnedge.gateway.eligibility import admit
from mnedge.gateway.grpc.calls import Call, Values
from mnedge.gateway.grpc.reading import steered, whole_job
from mnedge.model.body import json_bytes
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus, Verb
from mnedge.runtime import jobs
from mnedge.runtime.clearing import cancel, forget_job
from mnedge.runtime.received import submit_received

MOST_JOBS = 100
"""In a list whose length the client leaves to us."""
_ALL_S = 5.0
"""For each job of CancelAllJobs."""


async def submit_job(call: Call) -> Values:
    """Submit what was sent, as one job."""
    backend = call.backend
    await admit(backend.store)
    manifest = call.json("manifest_json")
    if not manifest:
        raise UsageError("manifest_json is empty", hint="send the bundle's manifest.json")
    record = await submit_received(
        backend.store,
        backend.config,
        manifest,
        call.request["payloads"],
        runners=backend.runners,
        connectors=backend.connectors,
        now=backend.now,
        origin=call.origin,
    )
    call.changes(f"job/{record.job_id}")
    return {"job_id": record.job_id, "status": "pending", "version": 1}


async def get_job(call: Call) -> Values:
    """Return a job whole."""
    _, document = await whole_job(call, call.required("job_id"))
    return {"job_json": json_bytes(document).decode(), "version": 1}


async def list_jobs(call: Call) -> Values:
    """Return the newest jobs."""
    limit = call.request["limit"]
    over = call.request["include_terminal"]
    statuses = None if over else frozenset(JobStatus) - TERMINAL
    found = await jobs.list_jobs(
        call.backend.store, limit=limit if limit > 0 else MOST_JOBS, statuses=statuses
    )
    return {"jobs_json": _listed(call, found), "version": 1}


def _listed(call: Call, found: list[JobRecord]) -> str:
    """Return as many of the newest as one message holds."""
    rows = [job_row(record, call.backend.config) for record in found]
    document = {"data": rows}
    while len(content := json_bytes(document)) > 3_500_000:
        rows = rows[: len(rows) * 3_400_000 // len(content)]
        document = fitted({"data": rows, "trimmed": ["data"]}, ())
    return content.decode()


async def cancel_job(call: Call) -> Values:
    """Cancel a job."""
    return await _asked(call, Verb.CANCEL, "cancelling")


async def pause_job(call: Call) -> Values:
    """Pause a job."""
    return await _asked(call, Verb.PAUSE, "pausing")


async def resume_job(call: Call) -> Values:
    """Let a paused job go on."""
    return await _asked(call, Verb.RESUME, "resuming")


async def _asked(call: Call, verb: Verb, meanwhile: str) -> Values:
    job_id = call.required("job_id")
    before = await jobs.read_job(call.backend.store, job_id)
    record = await steered(call, job_id, verb)
    status = meanwhile if record.status is before.status else status_of(record)
    return {"job_id": job_id, "status": status, "version": 1}


async def cancel_all_jobs(call: Call) -> Values:
    """Cancel every job that is not over."""
    backend = call.backend
    statuses = frozenset(JobStatus) - TERMINAL
    live = await jobs.list_jobs(backend.store, limit=None, statuses=statuses)
    results = []
    for record in live:
        try:
            status = await cancel(
                backend.store,
                backend.host,
                record.job_id,
                now=backend.now,
                by=call.caller,
                timeout_s=_ALL_S,
            )
        except (jobs.JobStatusError, jobs.JobNotFoundError):
            status = "ignored"
        results.append({"job_id": record.job_id, "status": status})
    content = {"data": results, "cancelled_count": len(results)}
    return {"result_json": json_bytes(fitted(content, (("data",),))).decode(), "version": 1}


async def clear_jobs(call: Call) -> Values:
    """Forget every job that is over; run folders stay."""
    backend = call.backend
    over = await jobs.list_jobs(backend.store, limit=None, statuses=TERMINAL)
    cleared = 0
    for record in over:
        try:
            await forget_job(backend.store, backend.config, backend.host, record.job_id)
        except (jobs.JobStatusError, jobs.JobNotFoundError):
            continue
        cleared += 1
    return {"cleared_count": cleared, "version": 1}
