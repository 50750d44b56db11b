"""What several services read of jobs."""

from typing import Any

from mnedge.gateway.client_shapes import job_json
from mnedge.gateway.grpc.calls import Call
from mnedge.model.records import JobRecord
from mnedge.model.states import Verb
from mnedge.runtime import jobs
from mnedge.runtime.view import JobView

RECENT = 25
SETTLE_S = 25.0
"""A client waits 30 s for a job that it cancels."""


async def whole_job(call: Call, job_id: str) -> tuple[JobRecord, dict[str, Any]]:
    """Return the job's record, and the nested document of it.

    Raises: JobNotFoundError.
    """
    backend = call.backend
    record = await jobs.read_job(backend.store, job_id)
    view: JobView | None = None
    spec = None
    if record.fault is None:
        view, spec = await backend.views.look(job_id)
        record = view.record
    recent = backend.feed.newest(job_id, RECENT)[::-1]
    return record, job_json(record, view, recent, spec, backend.config)


async def steered(call: Call, job_id: str, verb: Verb, *, reason: str = "") -> JobRecord:
    """Ask the job's owner, and wait for what comes of it; return the job as it is then.

    A job whose owner has not acted in time is returned as it was; the request stands.
    Raises: JobNotFoundError; JobStatusError if the job's status does not allow it.
    """
    backend = call.backend
    request = await jobs.ask(
        backend.store, job_id, verb, now=backend.now, by=call.caller, reason=reason
    )
    record = await jobs.read_job(backend.store, job_id)
    if record.fault is not None and not backend.host.owns(job_id):
        await backend.host.start_job(job_id)
    try:
        return await jobs.settled(backend.store, request, timeout_s=SETTLE_S)
    except jobs.JobUnsettledError:
        return await jobs.read_job(backend.store, job_id)
