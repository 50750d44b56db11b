"""`mnedge blueprint compile`: what a bundle comes to, and its two graphs drawn."""

import os
from pathlib import Path
from typing import Any

import click

from mnedge.cli import completion
from mnedge.cli.verbs import Asked, Verb

FORMATS = ("text", "json", "ndjson", "dot", "svg")


class Drawing(Verb):
    """A verb whose `--output` also draws."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for option in self.shared:
            if option.name == "output":
                option.type = click.Choice([*FORMATS, "human"])
                option.help = "text, json (or ndjson), dot for Graphviz, or svg."


@click.command("compile", cls=Drawing)
@click.argument("path", shell_complete=completion.blueprints)
@click.option(
    "--graph",
    "wanted",
    type=click.Choice(["steps", "agents", "both"]),
    default="both",
    show_default=True,
    help="Which of the two graphs.",
)
@click.option("--out", metavar="FILE", help="Write there instead of printing.")
@click.option("--no-code", is_flag=True, help="Load no modules that define steps.")
@click.pass_obj
def compile_(asked: Asked, path: str, wanted: str, out: str | None, no_code: bool) -> int:
    """Show what a bundle of any age comes to: its job, its steps and its agents.

    PATH is a folder, an archive, or the name of a bundled blueprint. The graph of steps says what
    waits for what; the graph of agents says who sends which messages to whom. Many agents that are
    alike are drawn as one; -v draws each. Exit code 0: no errors; 1: errors.

    \b
    Examples:
      mnedge blueprint compile text_report_pipeline
      mnedge blueprint compile ./my_blueprint --graph steps
      mnedge blueprint compile ./my_blueprint -o svg --out graphs.svg
      mnedge blueprint compile ./my_blueprint -o dot | dot -Tpdf > graphs.pdf
      mnedge blueprint compile ./my_blueprint --json
    """
    from mnedge.bundle import catalogue
    from mnedge.cli.drawn import Wanted, tell

    place = path if Path(path).exists() else catalogue.find(path, os.environ)
    target = None if out is None else Path(out)
    return tell(asked, Path(place), Wanted(graph=wanted, out=target, run_code=not no_code))
