"""How this program was shipped: as Python source, or frozen with an interpreter of its own.

Frozen, `sys.executable` is mnedge itself and no Python: whoever needs a real interpreter, or
starts this very program again, asks here.
"""

import os
import sys
from pathlib import Path

PYTHON = Path("python", "bin", "python3")
"""Where the interpreter for payloads stands, below `folder()`."""


def frozen() -> bool:
    """Tell whether this is the frozen executable."""
    return bool(getattr(sys, "frozen", False))


def folder() -> Path | None:
    """Return the folder of libraries and files that the frozen executable brought; else None."""
    return Path(sys._MEIPASS) if frozen() else None  # type: ignore[attr-defined]  # PyInstaller's


def program() -> tuple[str, ...]:
    """Return the words that start this very program again.

    Frozen: the executable that runs, which outlives a file that is replaced meanwhile.
    """
    return (sys.executable,) if frozen() else (sys.executable, "-m", "mnedge")


def python() -> str | None:
    """Return a real interpreter that we brought along; None from source, where we are run by it."""
    place = folder()
    if place is None:
        return sys.executable or None
    path = place / PYTHON
    return str(path) if os.access(path, os.X_OK) else None
