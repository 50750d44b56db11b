"""`job retry`: a failed job goes on as a new one, here or in the daemon."""

from mnedge.cli import live, watch
from mnedge.cli.carry import carry, hurry, shown_of, tell_end
from mnedge.cli.reach import config_of, desk, host_of, lives
from mnedge.cli.screen import Screen
from mnedge.cli.show import counted, fields
from mnedge.cli.submit import checked_run_id
from mnedge.cli.verbs import Asked
from mnedge.daemon.app import node
from mnedge.daemon.clock import wall_clock
from mnedge.model.records import JobRecord
from mnedge.runtime import jobs
from mnedge.runtime.retrying import retry


async def retry_job(
    asked: Asked, job_id: str, run_id: str | None, detach: bool, quiet: bool
) -> int:
    """Submit the new job; unless detached, run it here. Return the exit code."""
    screen = Screen(asked)
    new_id = checked_run_id(run_id)
    if detach or host_of(asked) or lives(config_of(asked)):
        return await _given(screen, job_id, new_id, detach=detach, quiet=quiet)
    config = config_of(asked)
    async with hurry() as hasten, node(config) as here:
        record = await jobs.find_job(here.store, job_id)
        made, done = await retry(
            here.store,
            config,
            record.job_id,
            runners=here.runners,
            connectors=here.connectors,
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


async def _given(
    screen: Screen, job_id: str, new_id: str | None, *, detach: bool, quiet: bool
) -> int:
    """Leave the new job to a daemon; unless detached, watch it."""
    async with desk(screen.asked) as there:
        record = await there.find(job_id)
        made, kept, daemon = await there.retry(record.job_id, new_id)
        if screen.asked.human and not quiet:
            tell(screen, made, record.job_id, kept, where=there.where)
        if not detach:
            screen.say("")
            shown = watch.shown_of(made, await there.look(made.job_id), from_now=False)
            return await watch.watch(screen, there, shown, quiet=quiet, cancels=True)
    if not screen.asked.human:
        screen.document({"job": made, "retries": record.job_id, "kept": kept, "daemon": daemon})
    elif daemon is None:
        screen.note("no daemon serves this data directory, so the job waits")
        screen.hint(f"mnedge daemon, or mnedge job recover {made.job_id}")
    return 0


def tell(
    screen: Screen, made: JobRecord, failed_id: str, done: list[str], *, where: str = ""
) -> None:
    """Say which job goes on, and what it need not do again."""
    screen.good("Job submitted again")
    names = ", ".join(done[:5]) + (f" and {len(done) - 5} more" if len(done) > 5 else "")
    kept = f"{counted(len(done), 'step')}: {names}" if done else "nothing"
    screen.say(
        *fields([("job", made.job_id), ("retries", failed_id), ("kept", kept), ("runs in", where)])
    )
