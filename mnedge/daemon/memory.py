"""How the C library keeps memory for a process that mostly waits."""

import ctypes
from contextlib import suppress

_ARENAS_AT_MOST = -8
"""`M_ARENA_MAX` of glibc's malloc.h."""


def share_one_heap() -> bool:
    """Let all threads take memory from one heap; tell whether the C library can.

    glibc gives each thread a heap of its own, and what a busy minute left free in those is kept
    for ever. Threads here wait for disks, not for each other's memory.
    """
    with suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(_ARENAS_AT_MOST, 1))
    return False
