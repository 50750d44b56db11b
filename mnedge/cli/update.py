"""`mnedge update`: another release in the place of this one, or this one again."""

from typing import Any

import click

from mnedge.cli.verbs import Asked, Verb


@click.command("update", cls=Verb)
@click.argument("source", required=False, metavar="[FILE|URL]")
@click.option("--check", is_flag=True, help="Only say whether the release may be taken.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@click.option("--rollback", is_flag=True, help="Go back to the release before this one.")
@click.option("--status", is_flag=True, help="Say what runs, what was before, what is on trial.")
@click.option("--allow-downgrade", is_flag=True, help="Take an older release as well.")
@click.option("--finish", is_flag=True, help="Bring an update that was cut short to its end.")
@click.option("--describe", is_flag=True, hidden=True, help="Say what this program is.")
@click.pass_obj
def update(asked: Asked, /, source: str | None, **wanted: Any) -> int:
    """Replace mnedge by another release, and go back by itself if that is not well.

    The release is signed: NAME.release.json lies beside it, and a pinned key has signed that. It is
    checked and tried before anything is switched; then the node is restarted, watched, and only
    then is the update confirmed. Until that the old release can take over again, with all data.
    Exit code 1: it went back, or did not begin for want of something; 2 and 13: it was refused, and
    nothing was changed. `mnedge docs updating` says it all.

    \b
    Examples:
      sudo mnedge update ./mnedge-1.3.0
      sudo mnedge update https://releases.example.org/mnedge-1.3.0
      mnedge update --check https://releases.example.org/mnedge-1.3.0
      sudo mnedge update --rollback
    """
    from mnedge.cli.reach import refuse_named
    from mnedge.cli.updating import Wanted, updated

    refuse_named(asked, "update")
    return updated(asked, Wanted(source=source, **wanted))
