"""`mn_sdk` for workers whose interpreter does not have it: a stand-in, last on their path.

Only where the command, or what it is told, calls for the SDK. Source: bundle format 3.4.
"""

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from mnedge.bundle.source.stand_in import PACKAGE, contents, laid_out
from mnedge.execution.step_result import mentions

FOLDER = "sdk"
"""Of the data directory."""
_CALLERS = ("MN_WORKFLOW_STEP_HANDLER", "MN_PY_SOURCE_MODULE")
"""Variables by which step handlers, and workflows written in Python, are found."""
ASK = "import importlib.util, sys; sys.exit(importlib.util.find_spec('mn_sdk') is None)"
"""Exits with 0 where the interpreter has the SDK."""


def is_wanted(config: Mapping[str, Any]) -> bool:
    """Tell whether an agent's command runs on the SDK."""
    declared = config.get("environment")
    told = isinstance(declared, Mapping) and any(name in declared for name in _CALLERS)
    return told or mentions(config.get("command"), PACKAGE)


def comes_along(workdir: str) -> bool:
    """Tell whether the payload brings the SDK itself."""
    place = Path(workdir)
    return (place / PACKAGE).is_dir() or (place / f"{PACKAGE}.py").is_file()


def stand_in(data_dir: Path) -> str:
    """Return the folder that holds the stand-in, made if it is not there.

    Raises: OSError.
    """
    digest = sha256()
    for name, content in sorted(contents().items()):
        digest.update(f"{name}:{len(content)}:".encode() + content)
    folder = data_dir / FOLDER / digest.hexdigest()[:16]
    if not folder.is_dir():
        beside = folder.with_name(f"{folder.name}.{os.getpid()}")
        laid_out(beside)
        try:
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    return str(folder)


def with_path(environment: Mapping[str, str], folder: str) -> str:
    """Return `PYTHONPATH` with the folder behind all others."""
    given = environment.get("PYTHONPATH")
    return f"{given}{os.pathsep}{folder}" if given else folder
