"""`mnedge audit`: who changed what on this node."""

import click

from mnedge.cli.verbs import Asked, Noun


@click.group("audit", cls=Noun)
def audit() -> None:
    """Read the record of every change, and check that nobody altered it."""


@audit.command("list")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many."
)
@click.option("--actor", help="Only what this caller did: uid:1000, token:ci.")
@click.option("--action", help="Only actions that begin so: job., token.create.")
@click.pass_obj
def list_records(asked: Asked, limit: int, actor: str | None, action: str | None) -> None:
    """List the last records, the newest first."""
    from mnedge.cli.access import list_records as listing

    listing(asked, limit, actor, action)


@audit.command("verify")
@click.pass_obj
def verify(asked: Asked) -> int:
    """Check the whole record; exit code 1 names the first number that was altered."""
    from mnedge.cli.access import verify_records

    return verify_records(asked)


@audit.command("export")
@click.option("--after", type=click.IntRange(0), default=0, help="Only records after this number.")
@click.pass_obj
def export(asked: Asked, after: int) -> None:
    """Print every record, the oldest first, one JSON object per line, with its hashes."""
    from mnedge.cli.access import export_records

    export_records(asked, after)
