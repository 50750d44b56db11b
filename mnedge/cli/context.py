"""`mnedge context`: names for other nodes."""

import os

import click

from mnedge.cli import completion
from mnedge.cli.verbs import Asked, Noun


@click.group("context", cls=Noun)
def context() -> None:
    """Name other nodes, and say which one is asked.

    \b
    Example:
      mnedge context add edge1 https://edge1:8443 --token-file ~/edge1.token
      mnedge --host edge1 job list
    """


@context.command("list")
@click.pass_obj
def list_(asked: Asked) -> None:
    """List the nodes that have a name.

    \b
    Example:
      mnedge context list
    """
    from mnedge.cli import contexts
    from mnedge.cli.screen import Screen
    from mnedge.cli.show import Cell, columns

    kept = contexts.read(os.environ)
    screen = Screen(asked)
    if not asked.human:
        screen.records(
            contexts.shown(name, one, kept.current) for name, one in kept.contexts.items()
        )
        return
    rows = [
        [
            Cell("●" if name == kept.current else " ", "green"),
            Cell(name, "bold"),
            Cell(one.url),
            Cell("pinned" if one.fingerprint else "own CA" if one.ca else "", "dim"),
        ]
        for name, one in kept.contexts.items()
    ]
    screen.say(*columns(rows, width=screen.width))
    if not rows:
        screen.say("no nodes have a name; verbs ask this machine")
        screen.hint("mnedge context add NAME URL --token-file FILE")


@context.command("add")
@click.argument("name")
@click.argument("url")
@click.option("--token", "of_token", metavar="FILE", help="Where its token stands.")
@click.option("--ca", default="", metavar="FILE", help="Who may have signed its certificate.")
@click.option("--fingerprint", default="", metavar="SHA256", help="The certificate it must show.")
@click.option("--use", is_flag=True, help="Ask it from now on.")
@click.pass_obj
def add(
    asked: Asked, name: str, url: str, of_token: str | None, ca: str, fingerprint: str, use: bool
) -> None:
    """Name a node, or say something new about it.

    The token stays in its file; only the path is kept. --token and --token-file say the same.

    \b
    Examples:
      mnedge context add edge1 https://edge1:8443 --token-file ~/edge1.token
      mnedge context add lab http://127.0.0.1:8080 --use
    """
    from mnedge.cli import contexts
    from mnedge.cli.screen import Screen

    token_file = of_token or asked.token_file or ""
    made = contexts.checked(
        name, contexts.Context(url=url, token_file=token_file, ca=ca, fingerprint=fingerprint)
    )
    kept = contexts.read(os.environ)
    kept.contexts[name] = made
    if use:
        kept.current = name
    contexts.write(os.environ, kept)
    screen = Screen(asked)
    if asked.human:
        screen.good(f"{name} is {made.url}")
        screen.hint(f"mnedge --host {name} job list" if not use else "mnedge job list")
    else:
        screen.document(contexts.shown(name, made, kept.current))


@context.command("use")
@click.argument("name", shell_complete=completion.contexts)
@click.pass_obj
def use_(asked: Asked, name: str) -> None:
    """Ask this node from now on; `here` is this machine again.

    \b
    Examples:
      mnedge context use edge1
      mnedge context use here
    """
    from mnedge.cli import contexts
    from mnedge.cli.contexts import HERE
    from mnedge.cli.screen import Screen

    kept = contexts.read(os.environ)
    if name != HERE:
        contexts.found(name, os.environ)
    kept.current = "" if name == HERE else name
    contexts.write(os.environ, kept)
    screen = Screen(asked)
    if asked.human:
        screen.good(f"verbs ask {name if kept.current else 'this machine'}")
    else:
        screen.document({"current": kept.current})


@context.command("remove")
@click.argument("name", shell_complete=completion.contexts)
@click.pass_obj
def remove(asked: Asked, name: str) -> None:
    """Forget a node's name; its token file stays.

    \b
    Example:
      mnedge context remove edge1
    """
    from mnedge.cli import contexts
    from mnedge.cli.screen import Screen

    kept = contexts.read(os.environ)
    if name not in kept.contexts:
        contexts.found(name, os.environ)
    del kept.contexts[name]
    if kept.current == name:
        kept.current = ""
    contexts.write(os.environ, kept)
    screen = Screen(asked)
    if asked.human:
        screen.good(f"{name} is forgotten")
    else:
        screen.document({"removed": name, "current": kept.current})


@context.command("show")
@click.argument("name", required=False, shell_complete=completion.contexts)
@click.pass_obj
def show(asked: Asked, name: str | None) -> None:
    """Show a node's address, and how it is trusted; without a name, the one that is asked.

    \b
    Example:
      mnedge context show edge1
    """
    from mnedge.cli import contexts
    from mnedge.cli.contexts import HERE
    from mnedge.cli.screen import Screen
    from mnedge.cli.show import fields

    kept = contexts.read(os.environ)
    named = name or kept.current
    screen = Screen(asked)
    if not named:
        if asked.human:
            screen.say("verbs ask this machine")
        else:
            screen.document({"name": HERE, "current": True})
        return
    one = contexts.found(named, os.environ)
    if not asked.human:
        screen.document(contexts.shown(named, one, kept.current))
        return
    pairs = [
        ("address", one.url),
        ("token file", one.token_file),
        ("CA", one.ca),
        ("certificate", one.fingerprint),
        ("asked", "if no other is named" if kept.current == named else f"with --host {named}"),
    ]
    screen.say(named, *fields(pairs))
