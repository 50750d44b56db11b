"""Durations and sizes as people write them: `30s`, `64Ki`. Pure."""

import re

DURATION_PATTERN = r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)?\s*$"
SIZE_PATTERN = r"^\s*\d+(\.\d+)?\s*([KMGT]i?)?B?\s*$"
DURATION_FORMS = "500ms, 30s, 5m, 1h, 2d, or a number of seconds"
SIZE_FORMS = "16Ki, 10Mi, 1Gi, or a number of bytes"

_DURATION = re.compile(DURATION_PATTERN)
_SIZE = re.compile(SIZE_PATTERN)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}


def seconds(text: str) -> float | None:
    """Return the duration in seconds, or None if it is not written as one."""
    match = _DURATION.match(text)
    if match is None:
        return None
    unit = match[2] or "s"
    return float(text.strip().removesuffix(unit)) * _SECONDS[unit]


def size_bytes(text: str) -> int | None:
    """Return the size in bytes, or None if it is not written as one; `1K` is 1000, `1Ki` 1024."""
    match = _SIZE.match(text)
    if match is None:
        return None
    unit = match[2] or ""
    number = float(text.strip().removesuffix("B").removesuffix(unit))
    base = 1024 if unit.endswith("i") else 1000
    factor: int = base ** _POWERS.get(unit[:1], 0)
    return round(number * factor)


def as_duration(value: float) -> str:
    """Return the duration in the largest unit that shows it whole."""
    for unit, factor in (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0)):
        if value >= factor and value % factor == 0:
            return f"{value / factor:.0f}{unit}"
    return f"{value * 1000:g}ms" if 0 < value < 1 else f"{value:g}s"


def as_size(value: int) -> str:
    """Return the size in the largest unit that shows it whole."""
    for unit, factor in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if value >= factor and value % factor == 0:
            return f"{value // factor}{unit}"
    return str(value)
