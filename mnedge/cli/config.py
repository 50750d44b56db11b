"""`mnedge config`: check and show the settings of this node."""

import os

import click

from mnedge.cli.verbs import Asked, Noun, Verb


@click.group("config", cls=Noun)
def config() -> None:
    """Check and show the settings of this node.

    They come from the configuration file, the environment and options, in this order.
    """


@config.command("check", cls=Verb)
@click.argument("file", required=False)
@click.pass_obj
def check(asked: Asked, file: str | None) -> int:
    """Say everything that is wrong with the configuration, or that it is good.

    FILE is checked instead of the one that would be used. Exit code 2 if there are errors.
    """
    from mnedge.cli.configured import tell_problems
    from mnedge.cli.reach import refuse_named
    from mnedge.cli.screen import Screen
    from mnedge.config.problem import ConfigInvalidError
    from mnedge.config.read import Flags, config_file, load_config

    refuse_named(asked, "config check")
    flags = Flags(data_dir=asked.data_dir, file=file)
    path = config_file(os.environ, flags)
    try:
        problems = load_config(os.environ, flags).problems
    except ConfigInvalidError as error:
        problems = error.problems
    valid = all(problem.severity != "error" for problem in problems)
    records = [problem.record() for problem in problems]
    checked = None if path is None else str(path)
    screen = Screen(asked)
    if asked.output == "json":
        screen.document({"file": checked, "valid": valid, "problems": records})
    elif asked.output == "ndjson":
        screen.records(records)
    else:
        tell_problems(screen, problems, checked)
    return 0 if valid else 2


@config.command("show", cls=Verb)
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.option("--config", "file", metavar="FILE", help="Show it as with this file.")
@click.pass_obj
def show(asked: Asked, origin: bool, file: str | None) -> None:
    """Show every setting with its value; secrets are never shown.

    That is what a daemon would be started with now. One that runs may have read the file before it
    was changed: `kill -HUP` lets it read again.
    """
    from mnedge.cli.configured import tell_values
    from mnedge.cli.reach import refuse_named
    from mnedge.cli.screen import Screen
    from mnedge.config.read import Flags, load_config
    from mnedge.config.shown import document, leaves

    refuse_named(asked, "config show")
    loaded = load_config(os.environ, Flags(data_dir=asked.data_dir, file=file))
    screen = Screen(asked)
    if asked.output == "json":
        told = document(loaded)
        screen.document(told if origin else told["config"])
    elif asked.output == "ndjson":
        told = document(loaded)
        screen.records(
            {"path": path, "value": value, **told["origins"][path]}
            for path, value in leaves(told["config"])
        )
    else:
        tell_values(screen, loaded, origin=origin)


@config.command("schema", cls=Verb)
@click.pass_obj
def schema(asked: Asked) -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    import json

    from mnedge.config.schema import schema as of_the_file

    click.echo(json.dumps(of_the_file(), indent=None if asked.output == "ndjson" else 2))
