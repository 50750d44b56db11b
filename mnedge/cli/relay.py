"""`mnedge relay`: the language models behind a node's address."""

import click

from mnedge.cli.verbs import Asked, Noun, awaited


@click.group("relay", cls=Noun)
def relay() -> None:
    """Look at the upstreams of language models, and at what was used of them.

    They are configured under `relay.adapters`; `mnedge docs models` says how.
    """


@relay.command("adapters")
@click.pass_obj
def adapters(asked: Asked) -> None:
    """List the upstreams: where they are, what they serve, whether they are asked.

    \b
    Example:
      mnedge relay adapters
    """
    from mnedge.cli import models

    awaited(models.list_adapters, asked)


@relay.command("usage")
@click.option(
    "--days",
    type=click.IntRange(1, 90),
    default=30,
    show_default=True,
    help="Of the last so many days, today among them.",
)
@click.pass_obj
def usage(asked: Asked, days: int) -> None:
    """Add up requests and tokens by day, upstream, model and caller.

    \b
    Example:
      mnedge relay usage --days 7
    """
    from mnedge.cli import models

    awaited(models.tell_usage, asked, days)


@relay.command("test")
@click.argument("adapter")
@click.option(
    "--model", default="", metavar="NAME", help="As callers say it; the first if it is left out."
)
@click.pass_obj
def test(asked: Asked, adapter: str, model: str) -> None:
    """Ask an upstream for one short answer, and say how long it took.

    It is asked like any other request: it counts, and it may cost.

    \b
    Example:
      mnedge relay test openai --model small
    """
    from mnedge.cli import models

    awaited(models.try_adapter, asked, adapter, model)
