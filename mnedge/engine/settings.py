"""What a config value says, whatever a manifest's author wrote there."""

import math
from typing import Any


def truthy(value: Any) -> bool:
    """Tell whether the value says yes."""
    return value is True or (isinstance(value, str) and value.lower() in ("true", "1", "yes"))


def named(value: Any) -> str | None:
    """Return the value if it is a string with something in it."""
    return value if isinstance(value, str) and value else None


def whole(value: Any, *, at_least: int = 0) -> int | None:
    """Return the value if it is a whole number of that size, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) and value >= at_least else None


def mapping(value: Any) -> dict[str, Any]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
