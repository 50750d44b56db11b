"""`mnedge job dead-letters`: messages that a job could not deliver."""

import click

from mnedge.cli import completion
from mnedge.cli.verbs import WAITING, Asked, Noun, awaited, with_options


@click.group("dead-letters", cls=Noun)
def dead_letters() -> None:
    """Messages that a job could not deliver: look at them, deliver them again, forget them."""


@dead_letters.command("list")
@click.argument("job_id", metavar="[JOB]", default="last", shell_complete=completion.runs)
@click.pass_obj
def list_letters(asked: Asked, job_id: str) -> None:
    """List the dead letters of a job, the oldest first.

    \b
    Example:
      mnedge job dead-letters list last
    """
    from mnedge.cli.letters import list_letters as listing

    awaited(listing, asked, job_id)


@dead_letters.command("show")
@click.argument("job_id", metavar="JOB", shell_complete=completion.runs)
@click.argument("message_id", metavar="MESSAGE")
@click.pass_obj
def show_letter(asked: Asked, job_id: str, message_id: str) -> None:
    """Show one dead letter with its message.

    MESSAGE is its id, or the beginning of it.

    \b
    Example:
      mnedge job dead-letters show last 0198f3
    """
    from mnedge.cli.letters import show_letter as showing

    awaited(showing, asked, job_id, message_id)


def _disposing(name: str, text: str) -> click.Command:
    """Return a verb that asks a job's owner to do something with dead letters."""

    @click.argument("job_id", metavar="JOB", shell_complete=completion.runs)
    @click.argument("message_id", metavar="[MESSAGE]", required=False)
    @click.option("--all", "every", is_flag=True, help="All dead letters of the job.")
    @with_options(WAITING)
    @click.pass_obj
    def verb(
        asked: Asked,
        job_id: str,
        message_id: str | None,
        every: bool,
        no_wait: bool,
        timeout_s: float,
    ) -> None:
        from mnedge.cli.letters import dispose
        from mnedge.model.states import Verb
        from mnedge.runtime.answers import EVERY

        if (message_id is None) is not every:
            raise click.UsageError("name a message, or give --all, one of the two")
        which = EVERY if message_id is None else message_id
        awaited(dispose, asked, job_id, Verb(name), which, not no_wait, timeout_s)

    example = f"\n\n\b\nExample:\n  mnedge job dead-letters {name} last --all"
    return dead_letters.command(name, help=text + example)(verb)


redrive = _disposing(
    "redrive", "Deliver dead letters again.\n\nMESSAGE may be the beginning of an id."
)
discard = _disposing("discard", "Forget dead letters.\n\nMESSAGE may be the beginning of an id.")
