"""Words that the shell offers at the tab key. They come from folders, so they come at once."""

import os
from collections.abc import Iterable
from contextlib import suppress

import click

from mnedge.cli.verbs import Asked
from mnedge.errors import MnedgeError

MOST = 50


def blueprints(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer blueprints by name."""
    del ctx, param
    from mnedge.bundle.catalogue import listed

    return beginning(incomplete, (entry.blueprint_id for entry in listed(os.environ)))


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer ids of runs, the newest first; a job's id is its run's id."""
    del param
    from mnedge.config.read import read_config

    data_dir = ctx.obj.data_dir if isinstance(ctx.obj, Asked) else None
    found: list[tuple[float, str]] = []
    with suppress(MnedgeError, OSError):
        root = read_config(os.environ, data_dir=data_dir).runs_root
        found += [
            (entry.stat().st_mtime, entry.name) for entry in os.scandir(root) if entry.is_dir()
        ]
    return beginning(incomplete, ["last", *(name for _, name in sorted(found, reverse=True))])


def topics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer pages of the manual."""
    del ctx, param
    from mnedge.gateway.manual import pages

    return beginning(incomplete, (page.topic for page in pages()))


def beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    """Return the names that begin so, not too many."""
    return [name for name in names if name.startswith(incomplete)][:MOST]
