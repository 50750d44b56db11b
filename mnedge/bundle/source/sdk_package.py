"""`mn_sdk`, stood in for: gives way to the published package wherever that can be imported.

Laid out as a package of its own by `stand_in`; standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec

__version__ = "0+mnedge"


def give_way(here: str, name: str) -> bool:
    """Put the package that stands elsewhere under this name in our place; tell whether one does."""
    spec = elsewhere(here, name)
    if spec is None or spec.loader is None:
        return False
    ours = sys.modules.get(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if ours is not None:
            sys.modules[name] = ours
        raise
    return True


def elsewhere(here: str, name: str) -> ModuleSpec | None:
    """Return where the package can be found but here."""
    kept = list(sys.path)
    sys.path[:] = [place for place in kept if os.path.abspath(place or ".") != here]
    try:
        for finder in sys.meta_path:
            spec = finder.find_spec(name, None)
            if spec is not None and spec.origin is not None:
                return spec
    finally:
        sys.path[:] = kept
    return None


if __name__ == "mn_sdk" and not give_way(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), __name__
):
    _workflows = importlib.import_module("mn_sdk.workflows")
    agent, workflow = _workflows.agent, _workflows.workflow
