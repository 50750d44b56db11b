"""`mnedge definition`: what a node keeps to be started again."""

import click

from mnedge.cli import completion
from mnedge.cli.verbs import Asked, Noun, awaited, confirmed


@click.group("definition", cls=Noun)
def definition() -> None:
    """Keep blueprints on a node, and start them again and again.

    Each start makes a job of its own; its id is the run id.
    """


_one = click.argument("definition_id", metavar="DEFINITION", shell_complete=completion.definitions)


@definition.command("create")
@click.argument("place", metavar="BLUEPRINT|FOLDER", shell_complete=completion.blueprints)
@click.option("--id", "definition_id", metavar="ID", help="How it is called.")
@click.option("--config-json", metavar="JSON|@FILE", help="Lay this object over its config.")
@click.pass_obj
def create(asked: Asked, place: str, definition_id: str | None, config_json: str | None) -> None:
    """Keep a blueprint or folder; nothing runs yet.

    \b
    Examples:
      mnedge definition create prime_range_scan --id primes
      mnedge definition create ./my_blueprint
    """
    from mnedge.cli import stock
    from mnedge.cli.options import given

    config = None if config_json is None else given("--config-json", config_json)
    awaited(stock.create, asked, place, definition_id, config)


@definition.command("list")
@click.option("--all", "every", is_flag=True, help="Also what is archived.")
@click.pass_obj
def list_(asked: Asked, every: bool) -> None:
    """List what can be started again.

    \b
    Example:
      mnedge definition list
    """
    from mnedge.cli import stock

    awaited(stock.list_all, asked, every)


@definition.command("show")
@_one
@click.pass_obj
def show(asked: Asked, definition_id: str) -> None:
    """Show a definition and its jobs.

    \b
    Example:
      mnedge definition show primes
    """
    from mnedge.cli import stock

    awaited(stock.show, asked, definition_id)


@definition.command("start")
@_one
@click.option("--run-id", metavar="ID", help="Name the run; it must be new.")
@click.option("--input-json", metavar="JSON|@FILE", help="What this run works on.")
@click.option("-d", "--detach", "--detached", is_flag=True, help="Only submit; do not watch it.")
@click.option("-q", "--quiet", is_flag=True, help="Say only how it ended.")
@click.pass_obj
def start(
    asked: Asked,
    definition_id: str,
    run_id: str | None,
    input_json: str | None,
    detach: bool,
    quiet: bool,
) -> int:
    """Start a definition once more, and watch it if a daemon runs it.

    \b
    Examples:
      mnedge definition start primes
      mnedge definition start primes --input-json '{"first": 100}' --detach
    """
    from mnedge.cli import stock
    from mnedge.cli.options import given

    inputs = None if input_json is None else given("--input-json", input_json)
    return awaited(stock.start, asked, definition_id, run_id, inputs, detach, quiet)


@definition.command("archive")
@_one
@click.pass_obj
def archive(asked: Asked, definition_id: str) -> None:
    """Take no more runs of a definition.

    \b
    Example:
      mnedge definition archive primes
    """
    from mnedge.cli import stock

    awaited(stock.archive, asked, definition_id)


@definition.command("delete")
@_one
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(asked: Asked, definition_id: str, yes: bool) -> None:
    """Forget a definition; its runs stay as history.

    \b
    Example:
      mnedge definition delete primes --yes
    """
    from mnedge.cli import stock

    if not yes:
        confirmed(f"Forget {definition_id} on {stock.where_of(asked)}?")
    awaited(stock.delete, asked, definition_id)
