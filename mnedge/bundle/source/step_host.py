"""Reads step definitions in an interpreter of its own: run it, do not import it.

Started by `definitions.load` with the payload's Python, code from standard input's place (`-c`),
in the bundle's folder. Arguments: the folder, the folder of the stand-in SDK, the modules.
Answers one line of JSON per module on what was standard output; what modules print goes to
standard error. Standard library only; Python 3.8 and later.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def main(root: str, stand_in: str, modules: list[str]) -> None:
    """Answer for each module, in order."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    first = [os.path.join(root, "payloads"), root]
    kept = [place for place in sys.path if place not in ("", root)]
    sys.path[:] = [*(place for place in first if os.path.isdir(place)), *kept, stand_in]
    for module in modules:
        answers.write(json.dumps(answer(module)) + "\n")
        answers.flush()


def answer(module: str) -> dict[str, Any]:
    """Return the serialized step of one module, or why there is none."""
    try:
        loaded = importlib.import_module(module)
        if not hasattr(loaded, "STEP"):
            return {"error": "it exports no STEP"}
        step = plain(loaded.STEP)
        json.dumps(step, allow_nan=False)
        if not isinstance(step, dict):
            return {"error": "STEP is neither a step nor its serialized form"}
        for side in ("input", "output"):
            part = step.get(side)
            hook = part.get("hook") if isinstance(part, dict) else None
            if hook and not callable(getattr(loaded, str(hook), None)):
                return {"error": f"its {side} hook {hook!r} is no function of the module"}
        return {"step": step}
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def plain(value: Any) -> Any:
    """Return a step object, or a dict in which some are, as plain JSON values."""
    for name in ("to_dict", "serialize"):
        serialized = getattr(value, name, None)
        if callable(serialized):
            return plain(serialized())
    if isinstance(value, dict):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
