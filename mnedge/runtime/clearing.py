"""Jobs are ended by force, and forgotten once they are over."""

from mnedge.config.settings import Config
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus, Verb
from mnedge.ports import Clock
from mnedge.runtime import jobs
from mnedge.runtime.host import Host
from mnedge.store.runs.folder import forget_run

CANCEL_S = 30.0
"""A job that has not acted on its cancellation within this counts as about to."""


async def cancel(
    stores: jobs.Stores,
    host: Host,
    job_id: str,
    *,
    now: Clock,
    by: str = "",
    timeout_s: float = CANCEL_S,
) -> str:
    """Cancel a job and wait for it; return `cancelled`, how it ended meanwhile, or
    `cancellation_pending`.

    Raises: JobNotFoundError; JobStatusError if it was over before.
    """
    request = await jobs.ask(stores, job_id, Verb.CANCEL, now=now, by=by)
    record = await jobs.read_job(stores, job_id)
    if record.status is JobStatus.FAULTED and not host.owns(job_id):
        await host.start_job(job_id)
    try:
        return (await jobs.settled(stores, request, timeout_s=timeout_s)).status.value
    except jobs.JobUnsettledError:
        return "cancellation_pending"


async def forget_job(stores: jobs.Stores, config: Config, host: Host, job_id: str) -> JobRecord:
    """Forget a job that is over: its record, journal and event stream. Its run folder stays.

    Raises: JobNotFoundError; JobStatusError if it is not over.
    """
    record = await jobs.read_job(stores, job_id)
    if record.status not in TERMINAL:
        raise jobs.JobStatusError(
            f"job is not over: {job_id} is {record.status}",
            hint="cancel it first",
            details={"status": record.status},
        )
    await host.finished(job_id)
    await stores.journal.forget(job_id)
    forget_run(config.data_dir, job_id)
    for prefix in (jobs.OPEN, jobs.CARRIED, jobs.SPECS):
        await stores.table.delete(prefix + job_id, sync=False)
    for row in await stores.table.scan(f"{jobs.ASKS}{job_id}/"):
        await stores.table.delete(row.key, sync=False)
    await stores.table.delete(jobs.JOBS + job_id)
    return record
