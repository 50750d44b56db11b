"""`mnedge install` and `mnedge uninstall`: a supervised node on this machine, and none again."""

import os
from pathlib import Path
from typing import Any

import click

from mnedge.cli.verbs import Asked, Verb

IMAGE = click.option(
    "--root",
    "--prefix",
    "root",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The machine is the image below DIR; nothing is started.",
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Show the steps; change nothing.")


@click.command("install", cls=Verb)
@IMAGE
@DRY_RUN
@click.option("--no-start", is_flag=True, help="Do all but start the node.")
@click.option("--http", metavar="HOST:PORT", help="Serve REST and the console there as well.")
@click.option("--grpc", metavar="HOST:PORT", help="Serve gRPC there, for the published client.")
@click.option("--user", metavar="NAME", help="Run as this user (mnedge), made if there is none.")
@click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="ADDRESS/BITS",
    help="Let the node and its workers talk with these alone (any). Again for more.",
)
@click.option("--replace", is_flag=True, help="Take the place of another release, unchecked.")
@click.pass_obj
def install(asked: Asked, /, root: Path | None, dry_run: bool, **wanted: Any) -> int:
    """Make this machine a supervised node: user, folders, systemd unit, logs, completion.

    What is so already is left alone; a second run has nothing to do. A configuration that is there
    is never changed. Without systemd it does the rest and says what to do by hand.
    `mnedge docs installing` lists everything it touches.

    \b
    Examples:
      sudo ./mnedge install --dry-run
      sudo ./mnedge install
      sudo ./mnedge install --http 127.0.0.1:8080
      sudo ./mnedge install --root /mnt/image
    """
    from mnedge.cli.installing import layout_of, settings_of, tell_plan, wanted_of
    from mnedge.cli.reach import refuse_named
    from mnedge.installation.doing import examined
    from mnedge.installation.plan import installing, require_root

    refuse_named(asked, "install")
    layout = layout_of(root)
    settings = settings_of(layout, even_if_bad=os.geteuid() != 0)
    box = examined(layout, *settings.writable)
    if not dry_run:
        require_root(box)
    plan = installing(box, wanted_of(settings, **wanted))
    return tell_plan(asked, plan, layout, verb="install", dry_run=dry_run)


@click.command("uninstall", cls=Verb)
@IMAGE
@DRY_RUN
@click.option("--purge", is_flag=True, help="Remove jobs, runs, settings and the user as well.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before --purge.")
@click.pass_obj
def uninstall(asked: Asked, /, root: Path | None, dry_run: bool, purge: bool, yes: bool) -> int:
    """Stop the node and remove everything that `mnedge install` made.

    Jobs, runs and settings stay (/var/lib/mnedge, /etc/mnedge) unless --purge is said, which asks.

    \b
    Examples:
      sudo mnedge uninstall
      sudo mnedge uninstall --purge --dry-run
    """
    from mnedge.cli.installing import layout_of, refuse_running, settings_of, tell_plan
    from mnedge.cli.reach import refuse_named
    from mnedge.cli.verbs import confirmed
    from mnedge.installation.doing import examined
    from mnedge.installation.plan import require_root
    from mnedge.installation.removal import removing

    refuse_named(asked, "uninstall")
    layout = layout_of(root)
    settings = settings_of(layout, even_if_bad=True)
    box = examined(layout, settings.data_dir, settings.runs_root)
    if not dry_run:
        require_root(box)
        refuse_running(box, settings)
    plan = removing(box, settings, purge=purge)
    if purge and not yes and not dry_run:
        confirmed(f"Remove every job, run and setting of this node ({settings.data_dir})?")
    verb = "uninstall --purge" if purge else "uninstall"
    return tell_plan(asked, plan, layout, verb=verb, dry_run=dry_run)
