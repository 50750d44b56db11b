"""`mnedge token`: who may talk to this node over TCP."""

import click

from mnedge.cli.verbs import Asked, Noun, awaited


@click.group("token", cls=Noun)
def token() -> None:
    """Make, list and take back bearer tokens for callers on TCP."""


@token.command("create")
@click.option("--name", required=True, help="Whose it is: a person, a machine, a program.")
@click.option(
    "--scope",
    type=click.Choice(("read", "operate", "admin")),
    default="read",
    show_default=True,
    help="read: look. operate: also submit, steer and answer jobs. admin: everything.",
)
@click.option(
    "--ttl",
    metavar="DURATION",
    help="How long it is good, like 15m or 3600; the longest that is allowed unless given.",
)
@click.pass_obj
def create(asked: Asked, name: str, scope: str, ttl: str | None) -> None:
    """Make a token and print it; it is shown this once and kept nowhere.

    In a script: TOKEN=$(mnedge token create --name ci --scope operate)
    """
    from mnedge.cli.access import create_token

    awaited(create_token, asked, name, scope, ttl)


@token.command("list")
@click.pass_obj
def list_tokens(asked: Asked) -> None:
    """List the tokens that have not ended; never their text."""
    from mnedge.cli.access import list_tokens as listing

    awaited(listing, asked)


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@click.pass_obj
def revoke(asked: Asked, token_id: str) -> None:
    """Take a token back; it is refused from now on."""
    from mnedge.cli.access import revoke_token

    awaited(revoke_token, asked, token_id)
