"""Asks a node that was just started whether it is well, until it says so."""

import select
import time
from pathlib import Path

from mnedge.errors import UnavailableError
from mnedge.node_socket import health_of

LOOK_S = 0.2


class NotHealthyError(UnavailableError):
    """The node was started, and is not well."""

    code = "install.not_healthy"


def await_health(path: Path, within_s: float) -> None:
    """Return once the node is well.

    Raises: NotHealthyError with what it said last.
    """
    deadline = time.monotonic() + within_s
    while True:
        health = health_of(path)
        if health is not None and health.said.get("status") == "ok":
            return
        if time.monotonic() > deadline:
            told = "it does not answer"
            if health is not None:
                told = f"it says {health.said.get('status')!r}"
            raise NotHealthyError(
                f"the node is not well after {within_s:.0f} s: {told}",
                hint="systemctl status mnedge; journalctl --namespace=mnedge -e",
            )
        select.select([], [], [], LOOK_S)
