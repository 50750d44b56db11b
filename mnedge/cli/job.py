"""`mnedge job`: looking at jobs, steering them, recovering them.

JOB is an id, the beginning of one that no other job shares, or `last` for the newest.
"""

import click

from mnedge.cli import completion, dead_letters, people
from mnedge.cli.verbs import WAIT_S, Asked, Noun, awaited, confirmed

STATUSES = (
    "pending",
    "validated",
    "scheduled",
    "running",
    "paused",
    "completed",
    "failed",
    "cancelled",
    "faulted",
)


@click.group("job", cls=Noun)
def job() -> None:
    """Look at jobs, steer them, recover them.

    JOB is an id, the beginning of one, or `last` for the newest job.
    """


@job.command("list")
@click.option(
    "--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="Only these."
)
@click.option("--running-only", is_flag=True, help="Only jobs that are not over.")
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many."
)
@click.pass_obj
def list_(asked: Asked, statuses: tuple[str, ...], running_only: bool, limit: int) -> None:
    """List jobs, the most recently changed first.

    \b
    Examples:
      mnedge job list --running-only
      mnedge --host edge1,edge2 job list
    """
    from mnedge.cli.look import list_jobs

    awaited(list_jobs, asked, statuses, running_only, limit)


@job.command("show")
@click.argument("job_id", metavar="[JOB]", default="last", shell_complete=completion.runs)
@click.pass_obj
def show(asked: Asked, job_id: str) -> None:
    """Show a job and its agents as they are now.

    Works whether or not the job is owned by a living process.

    \b
    Example:
      mnedge job show last
    """
    from mnedge.cli.look import show_job

    awaited(show_job, asked, job_id)


@job.command("status")
@click.argument("job_id", metavar="[JOB]", default="last", shell_complete=completion.runs)
@click.pass_obj
def status(asked: Asked, job_id: str) -> int:
    """Print a job's status in one word.

    Exit code 1 if it failed, was cancelled or is faulted; else 0.

    \b
    Example:
      mnedge job status last
    """
    from mnedge.cli.look import tell_status

    return awaited(tell_status, asked, job_id)


@job.command("result")
@click.argument("job_id", metavar="[JOB]", default="last", shell_complete=completion.runs)
@click.pass_obj
def result(asked: Asked, job_id: str) -> int:
    """Print what a completed job came to, as JSON and nothing else.

    Exit code 1 if there is no result: the job failed, was cancelled, or is not over.

    \b
    Example:
      mnedge job result last > result.json
    """
    from mnedge.cli.look import tell_result

    return awaited(tell_result, asked, job_id)


@job.command("events")
@click.argument("job_id", metavar="[JOB]", default="last", shell_complete=completion.runs)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ", help="Only later ones.")
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="Only these types, such as job_*."
)
@click.option("--agent", metavar="AGENT", help="Only this agent's.")
@click.option("-n", "--last", type=click.IntRange(1), metavar="N", help="Only the last N.")
@click.pass_obj
def events(
    asked: Asked,
    job_id: str,
    follow: bool,
    after: int,
    types: tuple[str, ...],
    agent: str | None,
    last: int | None,
) -> None:
    """Print what happened in a job, in order.

    \b
    Examples:
      mnedge job events last --follow
      mnedge job events last --type 'job_*' --type '*_failed'
      mnedge job events last -o ndjson --after 120
    """
    from mnedge.cli.story import Wanted, tell_events

    wanted = Wanted(follow=follow, after=after, types=types, agent=agent, last=last)
    awaited(tell_events, asked, job_id, wanted)


@job.command("logs")
@click.argument("job_id", metavar="[JOB]", default="last", shell_complete=completion.runs)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over.")
@click.option("--agent", metavar="AGENT", help="Only this agent's.")
@click.option("-n", "--last", type=click.IntRange(1), metavar="N", help="Only the last N records.")
@click.pass_obj
def logs(asked: Asked, job_id: str, follow: bool, agent: str | None, last: int | None) -> None:
    """Print what a job's workers wrote: stdout, stderr and log records.

    \b
    Example:
      mnedge job logs last --follow --agent worker
    """
    from mnedge.cli.story import Wanted, tell_logs

    awaited(tell_logs, asked, job_id, Wanted(follow=follow, agent=agent, last=last))


def _steering(text: str) -> click.Command:
    """Return a verb that asks a job's owner for what the verb says."""

    @click.argument("job_id", metavar="JOB", shell_complete=completion.runs)
    @click.option("--reason", default="", metavar="TEXT", help="Kept with the request.")
    @click.option("--no-wait", is_flag=True, help="Only ask; do not wait until it is done.")
    @click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(0, min_open=True),
        default=WAIT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait.",
    )
    @click.pass_obj
    def verb(asked: Asked, job_id: str, reason: str, no_wait: bool, timeout_s: float) -> None:
        from mnedge.cli.steer import steer

        awaited(steer, asked, job_id, text.partition(" ")[0].lower(), reason, no_wait, timeout_s)

    name = text.partition(" ")[0].lower()
    example = f"\n\n\b\nExample:\n  mnedge job {name} last"
    return job.command(name, help=text + example)(verb)


cancel = _steering(
    "Cancel a job: its workers are stopped, and it ends as cancelled.\n\n"
    "A job that no living process owns is cancelled at once."
)
pause = _steering("Pause a running job: work under way finishes, no new work begins.")
resume = _steering("Resume a paused job.")


@job.command("recover")
@click.argument("job_ids", metavar="[JOB]...", nargs=-1, shell_complete=completion.runs)
@click.option("--all", "every", is_flag=True, help="Every unfinished job without a living owner.")
@click.option("-q", "--quiet", is_flag=True, help="Say only how it ended.")
@click.pass_obj
def recover(asked: Asked, job_ids: tuple[str, ...], every: bool, quiet: bool) -> int:
    """Carry unfinished jobs to their end in this process.

    Takes up jobs whose process died, from their journals. Ctrl-C leaves them as they are, to be
    recovered again; so does a pause of all that are left. Exit code 0: all completed; 1: one did
    not; 130: left.

    \b
    Examples:
      mnedge job recover --all
      mnedge job recover last
    """
    from mnedge.cli.recover import recover_jobs

    if bool(job_ids) == every:
        raise click.UsageError("name jobs, or give --all, one of the two")
    return awaited(recover_jobs, asked, job_ids, quiet)


@job.command("retry")
@click.argument("job_id", metavar="JOB", shell_complete=completion.runs)
@click.option("--run-id", metavar="ID", help="Name the new run; it must be new.")
@click.option(
    "-d", "--detach", "--detached", is_flag=True, help="Only submit; a daemon will run it."
)
@click.option("-q", "--quiet", is_flag=True, help="Say only how it ended.")
@click.pass_obj
def retry(asked: Asked, job_id: str, run_id: str | None, detach: bool, quiet: bool) -> int:
    """Go on with a failed job of steps from where it failed.

    Makes a new job of the same bundle, config and inputs; steps that were successful are not run
    again. What was scattered, or added while it ran, is made anew.

    \b
    Example:
      mnedge job retry last
    """
    from mnedge.cli.again import retry_job

    return awaited(retry_job, asked, job_id, run_id, detach, quiet)


@job.command("steps")
@click.argument("job_id", metavar="[JOB]", default="last", shell_complete=completion.runs)
@click.pass_obj
def steps(asked: Asked, job_id: str) -> None:
    """Show the steps of a job: status, outcome, attempts, and what holds them up.

    Instances that one step was scattered into share a line; --verbose lists them all.

    \b
    Example:
      mnedge job steps last -v
    """
    from mnedge.cli.look import show_steps

    awaited(show_steps, asked, job_id)


@job.command("watch")
@click.argument("job_id", metavar="[JOB]", default="last", shell_complete=completion.runs)
@click.option("-q", "--quiet", is_flag=True, help="Say only how it ended.")
@click.pass_obj
def watch(asked: Asked, job_id: str, quiet: bool) -> int:
    """Watch a job that runs elsewhere: its steps and agents, live, until it is over.

    Ctrl-C stops looking; the job goes on. Exit code as that of `blueprint run`.

    \b
    Examples:
      mnedge job watch last
      mnedge --host edge1 job watch prime_range_scan-1764117000000
    """
    from mnedge.cli.watch import watch_job

    return awaited(watch_job, asked, job_id, quiet)


@job.command("submit")
@click.argument("place", metavar="FOLDER|ARCHIVE|MANIFEST", type=click.Path(exists=True))
@click.option("--run-id", metavar="ID", help="Name the run; it must be new.")
@click.pass_obj
def submit(asked: Asked, place: str, run_id: str | None) -> int:
    """Submit a bundle and come back at once; a daemon runs it.

    The same as `blueprint run --folder PLACE --detach`. A manifest stands for its folder.

    \b
    Example:
      mnedge job submit ./my_blueprint/manifest.json
    """
    from pathlib import Path

    from mnedge.cli.submit import Wanted, run_blueprint

    path = Path(place)
    folder = path.parent if path.name == "manifest.json" else path
    return awaited(run_blueprint, asked, Wanted(folder=str(folder), run_id=run_id, detach=True))


@job.command("unfinished")
@click.pass_obj
def unfinished(asked: Asked) -> None:
    """List jobs that are not over; the same as `job list --running-only`.

    \b
    Example:
      mnedge job unfinished --json
    """
    from mnedge.cli.look import list_jobs

    awaited(list_jobs, asked, (), True, 500)


@job.command("cancel-all")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", default="", metavar="TEXT", help="Kept with the requests.")
@click.pass_obj
def cancel_all(asked: Asked, yes: bool, reason: str) -> int:
    """Cancel every job that is not over.

    Exit code 1 if one could not be cancelled.

    \b
    Example:
      mnedge job cancel-all --yes
    """
    from mnedge.cli.steer import cancel_every

    if not yes:
        confirmed("Cancel every job that is not over?")
    return awaited(cancel_every, asked, reason)


@job.command("artifacts")
@click.argument("job_id", metavar="[JOB]", default="last", shell_complete=completion.runs)
@click.pass_obj
def artifacts(asked: Asked, job_id: str) -> None:
    """List the files that a job left.

    \b
    Example:
      mnedge job artifacts last
    """
    from mnedge.cli.files import tell_files

    awaited(tell_files, asked, job_id)


@job.group("artifact", cls=Noun)
def artifact() -> None:
    """Fetch files that a job left."""


@artifact.command("get")
@click.argument("job_id", metavar="JOB", shell_complete=completion.runs)
@click.argument("path", shell_complete=completion.files)
@click.option("--out", metavar="FILE|FOLDER", help="Write it there instead of printing it.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.pass_obj
def artifact_get(asked: Asked, job_id: str, path: str, out: str | None, force: bool) -> None:
    """Print a file that a job left, or write it to a place.

    \b
    Examples:
      mnedge job artifact get last result.json
      mnedge --host edge1 job artifact get last artifacts/report.md --out .
    """
    from mnedge.cli.files import get_file

    awaited(get_file, asked, job_id, path, out, force)


for verb in (people.requests, people.approve, people.reject, people.respond):
    job.add_command(verb)
job.add_command(dead_letters.dead_letters)
