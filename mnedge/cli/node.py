"""`mnedge node` and `mnedge resource`."""

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


@click.group("resource", cls=Noun)
def resource() -> None:
    """Look at what a node has."""


@resource.command("list")
@click.pass_obj
def list_resources(asked: Asked) -> None:
    """Show what the machine has, what of it may be used, and how full the pools are.

    \b
    Example:
      mnedge resource list
    """
    from mnedge.cli import machine

    awaited(machine.list_resources, asked)
