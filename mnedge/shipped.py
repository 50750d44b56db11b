"""How this program was shipped: as Python source, or frozen with an interpreter of its own.

Frozen, `sys.executable` is mnedge itself and no Python: whoever needs a real interpreter, or
starts this very program again, asks here. Imports next to nothing: `mnedge --version` passes here.
"""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = "python/bin/python3"
"""Where the interpreter for payloads stands, below `folder()`."""
FILE = "MNEDGE_FILE"
"""How the one file that was called tells the program inside it where it stands."""
LIBRARIES, ORIGINAL = "LD_LIBRARY_PATH", "LD_LIBRARY_PATH_ORIG"
NIX = "/nix/store/"
_OF_THE_LOADER = ("_PYI_", "_MEI")

_called: list[str] = []


def frozen() -> bool:
    """Tell whether this is the frozen executable."""
    return bool(getattr(sys, "frozen", False))


def enter() -> None:
    """Make this process's environment the one that it was called with, if it is frozen.

    What starts the frozen program lays its own libraries and names into it. They did their work;
    every child would get them, and a system's program with our libraries may crash.
    """
    if not frozen():
        return
    if os.environ.get(FILE):
        _called[:] = [os.environ[FILE]]
    clean = as_called(os.environ, str(folder()))
    for name in list(os.environ):
        if name not in clean:
            del os.environ[name]
    os.environ.update(clean)


def as_called(environ: Mapping[str, str], ours: str) -> dict[str, str]:
    """Return the environment without what the frozen program's loader laid into it. Pure.

    `ours`: the folder of its libraries.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(_OF_THE_LOADER) and name not in (LIBRARIES, ORIGINAL, FILE)
    }
    # Of a path that was there before it keeps the original, under another name.
    path = environ.get(ORIGINAL, environ.get(LIBRARIES, ""))
    places = [place for place in path.split(os.pathsep) if place and not _below(place, ours)]
    return kept | {LIBRARIES: os.pathsep.join(places)} if places else kept


def _below(place: str, ours: str) -> bool:
    return place.rstrip("/") == ours or place.startswith(f"{ours}/")


def folder() -> "Path | None":
    """Return the folder of libraries and files that the frozen executable brought; else None."""
    if not frozen():
        return None
    from pathlib import Path

    return Path(sys._MEIPASS)  # type: ignore[attr-defined]  # PyInstaller's


def file() -> "Path | None":
    """Return the executable file that was called and can be copied elsewhere; None from source.

    It is the one file; of a plain folder, its executable, which needs the folder.
    """
    if not frozen():
        return None
    from pathlib import Path

    return Path(_called[0] if _called else sys.executable).absolute()


def one_file() -> bool:
    """Tell whether `file()` is the one file, which needs nothing beside it."""
    return bool(_called)


def by_nix() -> bool:
    """Tell whether Nix brought this program, and is who replaces it."""
    return __file__.startswith(NIX)


def program() -> tuple[str, ...]:
    """Return the words that start this very program again.

    Frozen: the executable that runs, which outlives a file that is replaced meanwhile.
    """
    return (sys.executable,) if frozen() else (sys.executable, "-m", "mnedge")


def python() -> str | None:
    """Return a real interpreter that we brought along; from source, the one that runs us."""
    place = bundled_python()
    return place if frozen() else sys.executable or None


def bundled_python() -> str | None:
    """Return the interpreter that came inside the frozen executable; None if none did."""
    place = folder()
    if place is None:
        return None
    path = str(place / PYTHON)
    return path if os.access(path, os.X_OK) else None
