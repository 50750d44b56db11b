"""What all commands have in common: shared options before or after the verb, lazy loading.

A verb answers with an exit code, or with nothing for 0.
"""

import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import click

from mnedge.errors import UsageError

OUTPUTS = ("human", "json", "ndjson")

WAIT_S = 30.0
"""How long a verb waits for a job's owner."""

T = TypeVar("T")


class Asked(NamedTuple):
    """What the shared options said."""

    output: str = "human"
    data_dir: str | None = None
    color: bool | None = None
    """None: as the terminal and NO_COLOR say."""
    verbose: bool = False
    host: str | None = None
    """Another node, by name or address."""
    token_file: str | None = None

    @property
    def human(self) -> bool:
        """True if a person reads it."""
        return self.output == "human"


class NoSuchVerbError(click.UsageError):
    """The command line names a verb that does not exist; the message offers the nearest ones."""

    def __init__(self, word: str, near: Iterable[str], ctx: click.Context) -> None:
        offered = " or ".join(repr(name) for name in near)
        meant = f"; did you mean {offered}?" if offered else ""
        super().__init__(f"{ctx.command_path} has no verb {word!r}{meant}", ctx)


def shared_options() -> list[click.Option]:
    """Return fresh options that every command takes; they end in `ctx.obj`, an `Asked`."""

    def option(*words: str, **more: Any) -> click.Option:
        return click.Option(words, expose_value=False, callback=_keep, default=None, **more)

    return [
        option(
            "-o",
            "--output",
            type=click.Choice(OUTPUTS),
            metavar="FORMAT",
            help="human, json (one document) or ndjson (one object per line).",
        ),
        option("--json", is_flag=True, flag_value=True, help="The same as --output json."),
        option("--data-dir", metavar="DIR", help="Where jobs are kept (else MNEDGE_DATA_DIR)."),
        option("--color/--no-color", help="Colours, whatever the terminal says."),
        option("-v", "--verbose", is_flag=True, flag_value=True, help="Say more."),
        option("--host", metavar="NAME|URL", help="Ask that node (else MNEDGE_HOST)."),
        option("--token-file", metavar="FILE", help="What to show it (else MNEDGE_TOKEN)."),
    ]


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    asked = ctx.obj if isinstance(ctx.obj, Asked) else Asked()
    if value is not None and param.name is not None:
        name, value = ("output", "json") if param.name == "json" else (param.name, value)
        asked = asked._replace(**{name: value})
    ctx.obj = asked


class NobodyAnswersError(UsageError):
    """A question was asked where nobody can answer it."""

    code = "option.yes_needed"


def confirmed(question: str) -> None:
    """Go on only if a person says yes.

    Raises: Abort on no; NobodyAnswersError if stdin has ended.
    """
    try:
        is_sure = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise NobodyAnswersError("nobody is there to say yes", hint="--yes says it") from None
    if not is_sure:
        raise click.Abort


WAITING = (
    click.option("--no-wait", is_flag=True, help="Only ask; do not wait until it is done."),
    click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(0, min_open=True),
        default=WAIT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait.",
    ),
)
"""What verbs take that ask a job's owner for something."""


def with_options(options: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Return what gives a command several options, in this order."""

    def add(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return add


class _Sharing(click.Command):
    """Takes the shared options, and shows them last in the help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
        kwargs["context_settings"] = settings | kwargs.get("context_settings", {})
        super().__init__(*args, **kwargs)
        self.shared = shared_options()
        self.params.extend(self.shared)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what belongs to this command, then what belongs to all."""
        own: list[tuple[str, str]] = []
        shared: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                is_shared = param in self.shared or "--help" in param.opts
                (shared if is_shared else own).append(record)
        for title, records in (("Options", own), ("Shared options", shared)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Verb(_Sharing):
    """A command that does something."""


class Noun(_Sharing, click.Group):
    """A command that only holds verbs."""

    command_class = Verb

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; without any, show the help: nobody did anything wrong."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order they were written down."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb that the first word names.

        Raises: NoSuchVerbError with near words.
        """
        word = args[0]
        unknown = not word.startswith("-") and self.get_command(ctx, word) is None
        if unknown and not ctx.resilient_parsing:
            raise NoSuchVerbError(word, near(word, self.list_commands(ctx)), ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs first."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)


class LazyNoun(Noun):
    """A noun whose children are imported when they are used.

    `children`: name → (`module:attribute`, short help).
    """

    def __init__(self, *args: Any, children: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.children = children

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, without importing anything."""
        del ctx
        return list(self.children)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the child of this name."""
        del ctx
        if cmd_name not in self.children:
            return None
        module, _, name = self.children[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write names and short helps, without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in self.children.items()])


def near(word: str, known: Iterable[str]) -> list[str]:
    """Return up to three known words that somebody may have meant."""
    from difflib import get_close_matches

    return get_close_matches(word, list(known), n=3, cutoff=0.55)


def awaited(work: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run async work to its end."""
    import trio

    return trio.run(work, *args)
