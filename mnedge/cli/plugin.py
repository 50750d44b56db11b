"""`mnedge plugin`: plugins from outside, let in by an operator."""

import click

from mnedge.cli.verbs import Asked, Noun


@click.group("plugin", cls=Noun)
def plugin() -> None:
    """Install, look at and remove plugins from outside.

    What is changed here counts from the next start of the daemon.
    """


@plugin.command("install")
@click.argument("sources", metavar="WHEEL|DIR|NAME...", nargs=-1, required=True)
@click.option(
    "--allow/--no-allow",
    default=None,
    help="Let it in from the next start on; keep it out. Else: as it was, and off if it is new.",
)
@click.pass_obj
def install(asked: Asked, sources: tuple[str, ...], allow: bool | None) -> int:
    """Unpack a plugin, and try it in a process of its own.

    DIR holds wheels: the plugin's, and those that it needs and mnedge does not bring. NAME is one
    that is installed, to let it in or keep it out. Exit code 1 if it was found bad and is
    quarantined, 2 if it was refused and nothing was changed.

    \b
    Examples:
      mnedge plugin install acme_camera-1.2-py3-none-any.whl
      mnedge plugin install acme-camera --allow
    """
    from mnedge.cli.outsiders import install as installing

    return installing(asked, sources, allow=allow)


@plugin.command("list")
@click.pass_obj
def list_plugins(asked: Asked) -> None:
    """List what is installed, whether it is on, what it brings."""
    from mnedge.cli.outsiders import list_all

    list_all(asked)


@plugin.command("show")
@click.argument("name")
@click.pass_obj
def show(asked: Asked, name: str) -> None:
    """Show all that is known of one plugin."""
    from mnedge.cli.outsiders import show as showing

    showing(asked, name)


@plugin.command("remove")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(asked: Asked, name: str, yes: bool) -> None:
    """Take a plugin out, with what came for it alone."""
    from mnedge.cli.outsiders import remove as removing

    removing(asked, name, yes=yes)


@plugin.command("check")
@click.argument("name", required=False)
@click.pass_obj
def check(asked: Asked, name: str | None) -> int:
    """Look again whether plugins are good.

    Their files, what they need, and how they do in a process of their own. Nothing is changed. Exit
    code 1 if one of them is not good.
    """
    from mnedge.cli.outsiders import check as checking

    return checking(asked, name)


@plugin.command("probe", hidden=True)
@click.argument("pipe", type=int)
def probe(pipe: int) -> None:
    """Import and ask a plugin, for the process that started this one."""
    from mnedge.plugins.meeting import answer

    answer(pipe)
