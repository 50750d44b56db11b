"""`mnedge blueprint`: what can be run, whether it may, and running it."""

import os
from pathlib import Path
from typing import Any

import click

from mnedge.cli import completion
from mnedge.cli.compile import compile_
from mnedge.cli.verbs import Asked, Noun, awaited


@click.group("blueprint", cls=Noun)
def blueprint() -> None:
    """List, validate and run blueprints."""


@blueprint.command("list")
@click.pass_obj
def list_(asked: Asked) -> None:
    """List the blueprints that can be run by name.

    They come with mnedge; those in MN_BUNDLES_DIR come first.

    \b
    Example:
      mnedge blueprint list
    """
    from mnedge.bundle import catalogue
    from mnedge.cli.screen import Screen
    from mnedge.cli.show import Cell, columns

    screen = Screen(asked)
    entries = catalogue.listed(os.environ)
    if not asked.human:
        screen.records(entry.record() for entry in entries)
        return
    rows = [
        [
            Cell(entry.blueprint_id, "bold"),
            Cell(entry.category, "dim"),
            Cell(entry.description),
        ]
        for entry in entries
    ]
    screen.say(*columns(rows, width=screen.width))
    if entries:
        screen.say("")
        screen.hint("mnedge blueprint run NAME")
    else:
        screen.note("no blueprints found; `mnedge blueprint run --folder PATH` runs one of yours")


@blueprint.command("validate")
@click.argument("path")
@click.option(
    "--profile",
    type=click.Choice(["default", "strict"]),
    default="default",
    show_default=True,
    help="`strict` turns what published bundles often lack into errors.",
)
@click.option("--no-code", is_flag=True, help="Load no modules that define steps.")
@click.pass_obj
def validate(asked: Asked, path: str, profile: str, no_code: bool) -> int:
    """Check a bundle and list everything that is wrong with it.

    PATH is a folder, a .tar.gz or .zip, or the name of a bundled blueprint. Of an authoring source
    the modules that define steps are loaded, in a process of their own, unless --no-code says not.
    Exit code 0: no errors; 1: errors.

    \b
    Examples:
      mnedge blueprint validate ./my_blueprint
      mnedge blueprint validate ./my_blueprint --profile strict -v
      mnedge blueprint validate bundle.tar.gz --json
    """
    from mnedge.bundle import catalogue
    from mnedge.cli.screen import Screen
    from mnedge.cli.validation import tell

    place = path if Path(path).exists() else catalogue.find(path, os.environ)
    return tell(Screen(asked), Path(place), profile, run_code=not no_code)


blueprint.add_command(compile_)


@blueprint.command("run")
@click.argument("name", required=False, shell_complete=completion.blueprints)
@click.option("--folder", metavar="PATH", help="Run this folder or archive instead of a name.")
@click.option(
    "--input",
    "inputs",
    metavar="KEY=VALUE",
    multiple=True,
    help="Set one input; VALUE is JSON, else text. Again for more.",
)
@click.option("--input-json", metavar="JSON|@FILE", help="Replace the whole input.")
@click.option(
    "--set",
    "settings",
    metavar="PATH=VALUE",
    multiple=True,
    help="Set one value of the config, such as logging.level=DEBUG.",
)
@click.option("--config-json", metavar="JSON|@FILE", help="Lay this object over the config.")
@click.option("--run-id", metavar="ID", help="Name the run; it must be new.")
@click.option(
    "-d", "--detach", "--detached", is_flag=True, help="Only submit; a daemon will run it."
)
@click.option("-q", "--quiet", is_flag=True, help="Say only how it ended.")
@click.pass_obj
def run(asked: Asked, /, name: str | None, folder: str | None, **wanted: Any) -> int:
    """Run a blueprint, and watch it.

    Validates it, submits a job and shows its progress. If a daemon serves the data directory, or
    --host names a node, that one runs it; else this process does. Ctrl-C cancels the job; a second
    Ctrl-C leaves at once: a daemon goes on, and so does `mnedge job recover` later.
    Exit code 0: completed; 1: failed; 130: interrupted.

    \b
    Examples:
      mnedge blueprint run message_routing_trace
      mnedge blueprint run --folder ./my_blueprint --input first=1000
      mnedge blueprint run prime_range_scan --json > result.json
      mnedge blueprint run live_telemetry --detach
      mnedge --host edge1 blueprint run --folder ./my_blueprint
    """
    from mnedge.cli.submit import Wanted, run_blueprint

    if (name is None) == (folder is None):
        raise click.UsageError("name a blueprint, or give --folder, one of the two")
    return awaited(run_blueprint, asked, Wanted(name=name, folder=folder, **wanted))
