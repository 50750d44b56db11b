"""Asks a node that was just started whether it is well, until it says so."""

import http.client
import json
import select
import socket
import time
from pathlib import Path
from typing import Any

from mnedge.errors import UnavailableError

LOOK_S = 0.2
ANSWER_S = 5.0


class NotHealthyError(UnavailableError):
    """The node was started, and is not well."""

    code = "install.not_healthy"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("mnedge", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket of the node."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(str(self._path))


def health(path: Path) -> Any:
    """Return what the node behind a unix socket says of itself; None if it does not answer."""
    connection = _UnixConnection(path)
    try:
        connection.request("GET", "/api/v1/health")
        answer = connection.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def await_health(path: Path, within_s: float) -> None:
    """Return once the node is well.

    Raises: NotHealthyError with what it said last.
    """
    deadline = time.monotonic() + within_s
    while True:
        said = health(path)
        if isinstance(said, dict) and said.get("status") == "ok":
            return
        if time.monotonic() > deadline:
            told = "it does not answer" if said is None else f"it says {said.get('status')!r}"
            raise NotHealthyError(
                f"the node is not well after {within_s:.0f} s: {told}",
                hint="systemctl status mnedge; journalctl --namespace=mnedge -e",
            )
        select.select([], [], [], LOOK_S)
