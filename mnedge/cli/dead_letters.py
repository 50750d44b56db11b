"""`mnedge job dead-letters`: messages that a job could not deliver."""

import re

import click

from mnedge.cli import completion
from mnedge.cli.verbs import OUTPUTS, WAITING, Asked, Noun, Verb, awaited, with_options

_MARK = "\0"
_ID = re.compile(r"-[A-Za-z0-9_][A-Za-z0-9_-]{4,}|--[A-Za-z0-9_-]{41}")
"""A beginning that people copy, or the whole of it."""


class _OfMessage(Verb):
    """A verb that names a message. One of 64 ids begins with a dash and is no option for that.

    Ids are derived, and journals hold them: they cannot be drawn from fewer letters any more.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; what can only be an id is marked as one."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
        with_value = {name for option in options if not option.is_flag for name in option.opts}
        known |= {f"-o{output}" for output in OUTPUTS}
        marked = [
            _MARK + word
            if _ID.fullmatch(word) and word not in known and before not in with_value
            else word
            for before, word in zip(["", *args], args, strict=False)
        ]
        rest = super().parse_args(ctx, marked)
        for name, value in ctx.params.items():
            if isinstance(value, str):
                ctx.params[name] = value.removeprefix(_MARK)
        return rest


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


@dead_letters.command("show", cls=_OfMessage)
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
        from mnedge.model import states
        from mnedge.runtime.answers import EVERY

        if (message_id is None) is not every:
            raise click.UsageError("name a message, or give --all, one of the two")
        which = EVERY if message_id is None else message_id
        awaited(dispose, asked, job_id, states.Verb(name), which, not no_wait, timeout_s)

    example = f"\n\n\b\nExample:\n  mnedge job dead-letters {name} last --all"
    return dead_letters.command(name, cls=_OfMessage, help=text + example)(verb)


redrive = _disposing(
    "redrive", "Deliver dead letters again.\n\nMESSAGE may be the beginning of an id."
)
discard = _disposing("discard", "Forget dead letters.\n\nMESSAGE may be the beginning of an id.")
