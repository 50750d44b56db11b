"""`mnedge top`, `logs` and `events`: the whole node at a glance."""

import click

from mnedge.cli import completion
from mnedge.cli.verbs import Asked, Verb, awaited


@click.command("top", cls=Verb)
@click.option("--once", is_flag=True, help="Print it once; the same where nobody looks.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 60),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@click.pass_obj
def top(asked: Asked, once: bool, every_s: float) -> int:
    """Watch the node and its jobs, live: pools, progress, rates, and what waits for people.

    Keys: arrows choose a job, enter shows it, esc goes back, q leaves.

    \b
    Examples:
      mnedge top
      mnedge --host edge1 top --every 5
      mnedge top --once --json
    """
    from mnedge.cli.top import watch_node

    return awaited(watch_node, asked, once, every_s)


@click.command("logs", cls=Verb)
@click.argument("job_id", metavar="[JOB]", required=False, shell_complete=completion.runs)
@click.option("-f", "--follow", is_flag=True, help="Go on; without JOB also with new jobs.")
@click.option(
    "--agent", metavar="AGENT", help="Only this agent's.", shell_complete=completion.agents
)
@click.option("-n", "--last", type=click.IntRange(1), metavar="N", help="Only the last N records.")
@click.pass_obj
def logs(
    asked: Asked, job_id: str | None, follow: bool, agent: str | None, last: int | None
) -> None:
    """Print what workers wrote and logged, of one job or of all.

    \b
    Examples:
      mnedge logs -f
      mnedge logs last --agent worker
    """
    from mnedge.cli.story import Wanted, tell_logs

    wanted = Wanted(follow=follow, agent=agent, last=last)
    if job_id is not None:
        awaited(tell_logs, asked, job_id, wanted)
        return
    from mnedge.cli.everybody import tell_everybody

    awaited(tell_everybody, asked, "logs", wanted)


@click.command("events", cls=Verb)
@click.option("-f", "--follow", is_flag=True, help="Go on, also with new jobs.")
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="Only these types, such as job_*."
)
@click.option("-n", "--last", type=click.IntRange(1), metavar="N", help="Only the last N.")
@click.pass_obj
def events(asked: Asked, follow: bool, types: tuple[str, ...], last: int | None) -> None:
    """Print what happens in all jobs; `mnedge job events` tells of one.

    \b
    Examples:
      mnedge events -f --type 'job_*'
      mnedge events -n 20
    """
    from mnedge.cli.everybody import tell_everybody
    from mnedge.cli.story import Wanted

    awaited(tell_everybody, asked, "events", Wanted(follow=follow, types=types, last=last))
