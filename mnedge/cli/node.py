"""`mnedge node`."""

import click

from mnedge.cli.verbs import Asked, Noun, awaited


@click.group("node", cls=Noun)
def node() -> None:
    """Look at nodes: the machines that run jobs."""


@node.command("list")
@click.pass_obj
def list_nodes(asked: Asked) -> None:
    """List the nodes.

    \b
    Example:
      mnedge node list --json
    """
    from mnedge.cli import machine

    awaited(machine.list_nodes, asked)
