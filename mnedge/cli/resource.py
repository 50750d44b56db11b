"""`mnedge resource`: what a node has, and its devices one by one."""

import click

from mnedge.cli.verbs import Asked, Noun, awaited


@click.group("resource", cls=Noun)
def resource() -> None:
    """Look at what a node has: cores, memory, pools, devices."""


@resource.command("list")
@click.pass_obj
def list_resources(asked: Asked) -> None:
    """Show what the machine has, what of it may be used, how full the pools are, its devices.

    Without a daemon the devices are looked for by this command itself.

    \b
    Example:
      mnedge resource list
    """
    from mnedge.cli import machine

    awaited(machine.list_resources, asked)


@resource.command("show")
@click.argument("device")
@click.pass_obj
def show_device(asked: Asked, device: str) -> None:
    """Show all that is known of a DEVICE: by its id, or by how the id begins.

    \b
    Example:
      mnedge resource show GPU-5fd4
    """
    from mnedge.cli import machine

    awaited(machine.show_device, asked, device)
