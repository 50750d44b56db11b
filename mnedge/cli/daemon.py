"""`mnedge daemon`: the node that runs for ever."""

import os

import click

from mnedge.cli.verbs import Asked, Verb


@click.command("daemon", cls=Verb)
@click.option("--config", "file", metavar="FILE", help="Read this configuration file.")
@click.option("--http", metavar="HOST:PORT", help="Serve REST and the console there as well.")
@click.option("--grpc", metavar="HOST:PORT", help="Serve gRPC there, for the published client.")
@click.pass_obj
def daemon(asked: Asked, file: str | None, http: str | None, grpc: str | None) -> int:
    """Run jobs for ever, adopt unfinished ones, and answer programs and people.

    Takes up every job of the data directory that no living process owns, now and whenever one is
    submitted. Listens on a unix socket in the data directory; on TCP only if told so (port 0: any
    that is free). One daemon per data directory.

    SIGTERM or Ctrl-C ends it: attempts that run may finish within `daemon.grace`, the others run
    again when it starts again. A second signal leaves at once. SIGHUP reads the configuration
    again.
    """
    import gc

    from mnedge.cli.reach import refuse_named

    refuse_named(asked, "daemon")
    gc.set_threshold(700)
    gc.disable()  # what is made while a node starts stays; `serve` switches it on again
    from mnedge.config.read import Flags, load_config
    from mnedge.daemon.main import serve

    flags = Flags(data_dir=asked.data_dir, file=file, http=http, grpc=grpc)
    return serve(lambda: load_config(os.environ, flags))
