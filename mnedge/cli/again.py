"""`job retry`: a failed job goes on as a new one, here or in the daemon."""

import os

from mnedge.cli import live
from mnedge.cli.carry import carry, hurry, shown_of, tell_end
from mnedge.cli.screen import Screen
from mnedge.cli.show import counted, fields
from mnedge.cli.submit import checked_run_id
from mnedge.cli.verbs import Asked
from mnedge.config.read import read_config
from mnedge.config.settings import Config
from mnedge.daemon.app import node, runners_of
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.store import DAEMON, opened_store
from mnedge.execution.processes import Processes
from mnedge.model.records import JobRecord
from mnedge.runtime import jobs
from mnedge.runtime.retrying import retry


async def retry_job(
    asked: Asked, job_id: str, run_id: str | None, detach: bool, quiet: bool
) -> int:
    """Submit the new job; unless detached, run it here. Return the exit code."""
    config = read_config(os.environ, data_dir=asked.data_dir)
    screen = Screen(asked)
    new_id = checked_run_id(run_id)
    if detach:
        return await _detach(screen, config, job_id, new_id)
    async with hurry() as hasten, node(config) as here:
        record = await jobs.find_job(here.store, job_id)
        made, done = await retry(
            here.store,
            config,
            record.job_id,
            runners=here.runners,
            now=wall_clock,
            new_id=new_id,
            own=here.host.reserve,
        )
        shown = await shown_of(here.store, made)
        if screen.asked.human and not quiet:
            tell(screen, made, record.job_id, done)
            screen.say("")
        view = live.view_for(screen, [shown], wall_clock, quiet=quiet)
        carried = await carry(here, [shown], view, now=wall_clock, cancels=True)
        if carried.hasty:
            hasten()
    return tell_end(screen, carried)


async def _detach(screen: Screen, config: Config, job_id: str, new_id: str | None) -> int:
    async with opened_store(config) as store:
        record = await jobs.find_job(store, job_id)
        made, done = await retry(
            store,
            config,
            record.job_id,
            runners=runners_of(config, Processes()),
            now=wall_clock,
            new_id=new_id,
        )
        daemon = await store.claims.holder(DAEMON)
    if not screen.asked.human:
        screen.document({"job": made, "retries": record.job_id, "kept": done, "daemon": daemon})
        return 0
    tell(screen, made, record.job_id, done)
    if daemon is None:
        screen.note("no daemon serves this data directory, so the job waits")
        screen.hint(f"mnedge daemon, or mnedge job recover {made.job_id}")
    return 0


def tell(screen: Screen, made: JobRecord, failed_id: str, done: list[str]) -> None:
    """Say which job goes on, and what it need not do again."""
    screen.good("Job submitted again")
    names = ", ".join(done[:5]) + (f" and {len(done) - 5} more" if len(done) > 5 else "")
    kept = f"{counted(len(done), 'step')}: {names}" if done else "nothing"
    screen.say(*fields([("job", made.job_id), ("retries", failed_id), ("kept", kept)]))
