"""`mnedge run`: the folders that runs leave behind, and the verbs of `job` under a run's name."""

import click

from mnedge.cli import completion, job, people
from mnedge.cli.verbs import Asked, Noun, awaited


@click.group("run", cls=Noun)
def run() -> None:
    """Look at the run folders that jobs leave behind.

    RUN is a run id (a job's id is its run's id), the beginning of one, or `last`.
    """


@run.command("list")
@click.option("--blueprint", metavar="ID", help="Only runs of this blueprint.")
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many."
)
@click.pass_obj
def list_(asked: Asked, blueprint: str | None, limit: int) -> None:
    """List run folders, the newest first.

    They stay when their jobs are forgotten.

    \b
    Example:
      mnedge run list --blueprint prime_range_scan
    """
    from mnedge.cli.folders import tell_runs

    awaited(tell_runs, asked, blueprint, limit)


@run.command("show")
@click.argument("run_id", metavar="[RUN]", default="last", shell_complete=completion.runs)
@click.pass_obj
def show(asked: Asked, run_id: str) -> None:
    """Show what a run left behind: outcome, figures, files.

    \b
    Example:
      mnedge run show last
    """
    from mnedge.cli.folders import tell_run

    awaited(tell_run, asked, run_id)


@run.command("lineage")
@click.argument("run_id", metavar="[RUN]", default="last", shell_complete=completion.runs)
@click.option("--artifact", metavar="PATH", help="Only this file of the run folder.")
@click.option("--up", is_flag=True, help="What it came from (the default).")
@click.option("--down", is_flag=True, help="What was done after it.")
@click.option(
    "--form",
    type=click.Choice(["mnedge", "openlineage"]),
    default="mnedge",
    show_default=True,
    help="openlineage: one event for programs that read OpenLineage.",
)
@click.pass_obj
def lineage(
    asked: Asked, run_id: str, artifact: str | None, up: bool, down: bool, form: str
) -> None:
    """Say of every file from which inputs, code and launches it came.

    \b
    Example:
      mnedge run lineage last --artifact result.json
    """
    from mnedge.cli.lineage import tell_lineage

    awaited(tell_lineage, asked, run_id, artifact, up, down, form)


for verb in (
    *(job.status, job.watch, job.steps, job.events, job.logs, job.result),
    *(job.cancel, job.pause, job.resume, job.retry),
    *(people.approve, people.reject, people.respond),
):
    run.add_command(verb)
