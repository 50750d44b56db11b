"""`job recover`: unfinished jobs without a living owner, carried to their end here."""

from collections.abc import Sequence
from contextlib import suppress

from mnedge.cli import live
from mnedge.cli.carry import carry, hurry, shown_of, tell_end
from mnedge.cli.progress import taken_up
from mnedge.cli.reach import config_of, lives, refuse_host
from mnedge.cli.screen import Screen
from mnedge.cli.show import counted
from mnedge.cli.verbs import Asked
from mnedge.daemon.app import node
from mnedge.daemon.clock import wall_clock
from mnedge.errors import ConflictError
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.runtime import jobs
from mnedge.runtime.host import JobHeldError
from mnedge.runtime.view import job_view
from mnedge.store.claims import process_name


class JobOverError(ConflictError):
    """The job has ended; there is nothing to recover."""

    code = "job.over"


async def recover_jobs(asked: Asked, job_ids: Sequence[str], quiet: bool) -> int:
    """Adopt the named jobs, or all without a living owner, and carry them. Return the exit code."""
    refuse_host(asked, "job recover")
    config = config_of(asked)
    screen = Screen(asked)
    if lives(config):
        screen.note("a daemon serves this data directory; it takes up jobs by itself")
    async with hurry() as hasten, node(config) as here:
        records = await (named(here.store, job_ids) if job_ids else orphans(here.store))
        if not records:
            _nothing(screen)
            return 0
        every = [await shown_of(here.store, record) for record in records]
        for shown in every:
            await _as_it_was_left(here.store, shown)
        if not quiet:
            names = records[0].job_id if len(records) == 1 else counted(len(records), "job")
            screen.good(f"Recovering {names}")
        view = live.view_for(screen, every, wall_clock, quiet=quiet)
        carried = await carry(here, every, view, now=wall_clock, cancels=False)
        if carried.hasty:
            hasten()
    return tell_end(screen, carried)


async def named(store: jobs.Stores, job_ids: Sequence[str]) -> list[JobRecord]:
    """Return the jobs that are called so, each once.

    Raises: JobNotFoundError; JobOverError if one has ended; JobHeldError if one is owned.
    """
    found = [await jobs.find_job(store, job_id) for job_id in job_ids]
    records = list({record.job_id: record for record in found}.values())
    for record in records:
        holder = await store.claims.holder(jobs.JOBS + record.job_id)
        if holder is not None and record.status not in TERMINAL:
            raise JobHeldError(
                f"job {record.job_id} is owned by {process_name(holder)}",
                hint=f"mnedge job events {record.job_id} --follow watches it",
                details={"holder": holder},
            )
        if record.status in TERMINAL:
            raise JobOverError(
                f"job {record.job_id} is {record.status}; there is nothing to recover",
                hint=f"mnedge job show {record.job_id}",
                details={"status": record.status},
            )
    return records


async def orphans(store: jobs.Stores) -> list[JobRecord]:
    """Return what can be adopted; faulted jobs wait for a person."""
    found = []
    for record in await jobs.list_jobs(store, limit=None):
        if record.status in TERMINAL or record.status is JobStatus.FAULTED:
            continue
        if await store.claims.holder(jobs.JOBS + record.job_id) is None:
            found.append(record)
    return found


async def _as_it_was_left(store: jobs.Stores, shown: live.Shown) -> None:
    """Begin the picture where the job stands; it begins empty if that cannot be read."""
    with suppress(Exception):  # a faulted job's fact may raise anything; the job itself will tell
        view = await job_view(store, shown.record.job_id)
        taken_up(
            shown.progress,
            view.agents,
            view.events,
            workflow=view.workflow,
            requests=view.human_requests,
        )


def _nothing(screen: Screen) -> None:
    if screen.asked.human:
        screen.good("Nothing to recover: every unfinished job has a living owner")
    else:
        screen.records([])
