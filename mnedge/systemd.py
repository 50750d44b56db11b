"""The service manager of this machine, asked through `systemctl`."""

import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from mnedge.errors import UnavailableError

ASKED_S = 30.0
LOOK_S = 0.2
AWAY_S = 15.0
"""While it is itself replaced (`daemon-reexec`) it answers nobody for a moment."""
AWAY = "Failed to connect to bus"
SAID_CHARS = 2000


class ServiceError(UnavailableError):
    """The service manager did not do as it was told."""

    code = "service.failed"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="systemctl status mnedge; journalctl --namespace=mnedge -e")


def runs() -> bool:
    """Tell whether systemd runs this machine."""
    return Path("/run/systemd/system").is_dir()


def systemctl(*words: str, within_s: float = ASKED_S) -> str:
    """Return what it says; it is asked again while it is itself replaced.

    Raises: ServiceError.
    """
    deadline = time.monotonic() + AWAY_S
    done = _once(words, within_s)
    while done.returncode != 0 and AWAY in done.stdout and time.monotonic() < deadline:
        select.select([], [], [], LOOK_S)
        done = _once(words, within_s)
    if done.returncode != 0:
        said = done.stdout.strip()[-SAID_CHARS:] or f"it ended with {done.returncode}"
        raise ServiceError(f"systemctl {' '.join(words)}: {said}")
    return done.stdout


def properties(unit: str, *names: str) -> dict[str, str]:
    """Return what it knows of a unit; empty where it knows nothing.

    Raises: ServiceError.
    """
    said = systemctl("show", unit, "-p", ",".join(names))
    told = dict(line.partition("=")[::2] for line in said.splitlines())
    return {name: told.get(name, "") for name in names}


def _once(words: Sequence[str], within_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["systemctl", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            text=True,
            errors="replace",
            timeout=within_s,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServiceError(f"systemctl {' '.join(words)}: {error}") from error
