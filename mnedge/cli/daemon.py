"""`mnedge daemon`: the node that runs for ever."""

import os

import click

from mnedge.cli.verbs import Asked, Verb


@click.command("daemon", cls=Verb)
@click.pass_obj
def daemon(asked: Asked) -> int:
    """Run jobs for ever, and adopt unfinished ones.

    Takes up every job of the data directory that no living process owns, now and whenever one is
    submitted. One daemon per data directory. SIGTERM or Ctrl-C ends it; its jobs go on when it
    starts again.
    """
    from mnedge.config.read import read_config
    from mnedge.daemon.main import serve

    return serve(read_config(os.environ, data_dir=asked.data_dir))
