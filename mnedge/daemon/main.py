"""`mnedge daemon`: a node that runs for ever and adopts what nobody owns."""

import signal
import sys

import trio

from mnedge.config.settings import Config
from mnedge.daemon.app import node


def serve(config: Config) -> int:
    """Run until SIGTERM or SIGINT; return the exit code.

    Raises: DaemonRunningError.
    """
    trio.run(_serve, config)
    return 0


async def _serve(config: Config) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with node(config, adopting=True):
            sys.stderr.write(f"mnedge daemon ready: {config.data_dir}\n")
            await anext(aiter(signals))
