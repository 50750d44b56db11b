"""The releases that stand beside each other in `/opt/mnedge`, and what they unpacked."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from mnedge.config.layout import Layout

PROGRAM = "mnedge"
STATEMENT = "mnedge.release.json"
INCOMING = ".incoming-"
PACKAGED = Path("/usr/lib/mnedge/mnedge")
"""The file of the Debian package, which unpacks itself beside ours."""
_KEY = re.compile(rb"^_mnedge_key=([0-9a-f]{16})$", re.MULTILINE)
_STUB_BYTES = 16 << 10


def program_of(layout: Layout, release: str) -> Path:
    """Return the one file of a release."""
    return layout.releases / release / PROGRAM


def led_to(link: Path) -> str:
    """Return the name of the release that a link leads to; empty if there is none."""
    try:
        return link.readlink().name
    except OSError:
        return ""


def target_of(release: str) -> str:
    """Return what `current` or `previous` holds."""
    return f"releases/{release}" if release else ""


def key_of(program: Path) -> str:
    """Return the name of the folder in which a one file unpacks itself; empty if it does not."""
    try:
        with program.open("rb") as file:
            found = _KEY.search(file.read(_STUB_BYTES))
    except OSError:
        return ""
    return found[1].decode() if found else ""


def prune(layout: Layout, keep: Iterable[str], processes: Path = Path("/proc")) -> list[str]:
    """Remove all releases but those, and what others had unpacked; return what is gone.

    What a process still runs from stays until the next time.
    """
    kept = {name for name in keep if name}
    keys = {key_of(program_of(layout, name)) for name in kept} | {key_of(layout.at(PACKAGED))}
    used = _in_use(layout.runtime, processes)
    gone = []
    for folder, wanted in ((layout.releases, kept), (layout.runtime, keys | used)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name not in wanted:
                shutil.rmtree(path, ignore_errors=True)
                gone.append(path.name)
    return gone


def forget(runtime: Path, key: str, processes: Path = Path("/proc")) -> None:
    """Remove what one file unpacked, unless a process still runs from it."""
    if key and key not in _in_use(runtime, processes):
        shutil.rmtree(runtime / key, ignore_errors=True)


def _in_use(runtime: Path, processes: Path) -> set[str]:
    return {runs_from(process, runtime) for process in processes.glob("[0-9]*")}


def runs_from(process: Path, runtime: Path) -> str:
    """Return in which folder there the program of a process lies; empty if it is none of them.

    `process`: its folder below `/proc`.
    """
    try:
        return Path(os.readlink(process / "exe")).relative_to(runtime).parts[0]
    except (OSError, ValueError, IndexError):
        return ""
