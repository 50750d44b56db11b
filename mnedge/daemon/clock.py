"""The wall clock: the only place that reads it."""

import time


def wall_clock() -> float:
    """Return the date as seconds since 1970, UTC; it may be wrong, and may be stepped."""
    return time.time()
