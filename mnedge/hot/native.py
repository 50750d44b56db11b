"""Load the compiled module, or say why it is not there."""

import os
from functools import cache
from importlib import import_module
from typing import Any


@cache
def library() -> tuple[Any, Any, str]:
    """Return cffi's `ffi` and `lib`, and why not if they are None.

    `MNEDGE_NATIVE=0` in the environment of the process switches the compiled code off.
    """
    if os.environ.get("MNEDGE_NATIVE") == "0":
        return None, None, "switched off by MNEDGE_NATIVE=0"
    try:
        module = import_module("mnedge.hot._native")
    except ImportError as error:
        return None, None, f"the compiled module is not installed: {error}"
    return module.ffi, module.lib, ""


def available() -> tuple[bool, str]:
    """Tell whether compiled code is used, and why not."""
    _, lib, why = library()
    return lib is not None, why
