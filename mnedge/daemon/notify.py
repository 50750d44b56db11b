"""What systemd is told: ready, reloading, stopping, alive. Nothing where nobody listens.

Source: sd_notify(3).
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Meant for this process alone: no worker gets to see them."""


class Notifier:
    """Sends datagrams to the service manager that started this process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watchdog_s = _watchdog(environ)

    @property
    def heard(self) -> bool:
        """Tell whether there is somebody to tell."""
        return self._address[:1] in ("/", "@")

    @property
    def watchdog_s(self) -> float | None:
        """How long this process may be silent before it is taken for dead; None: for ever."""
        return self._watchdog_s if self.heard else None

    def ready(self, status: str) -> None:
        """Say that the start, or a reload, is done."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that the configuration is read again; `ready` ends it."""
        moment = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={moment}", "STATUS=reading the configuration")

    def stopping(self, status: str, *, within_s: float) -> None:
        """Say that the end has begun, and how long it may take."""
        microseconds = round(within_s * 1e6)
        self._tell("STOPPING=1", f"STATUS={status}", f"EXTEND_TIMEOUT_USEC={microseconds}")

    def status(self, text: str) -> None:
        """Say in one line what goes on."""
        self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """Say that this process gets on."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self.heard:
            return
        name = self._address
        address = "\0" + name[1:] if name.startswith("@") else name
        text = "\n".join(line.replace("\n", " ") for line in lines)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(text.encode(), address)


def without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what the service manager tells this process alone."""
    return {name: value for name, value in environ.items() if name not in VARIABLES}


def _watchdog(environ: Mapping[str, str]) -> float | None:
    text = environ.get("WATCHDOG_USEC", "")
    pid = environ.get("WATCHDOG_PID", "")
    if not text.isdecimal() or int(text) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(text) / 1e6
