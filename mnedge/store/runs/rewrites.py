"""How often a file that others write to may be written anew as a whole: flash wears out.

A client that adds a line for each of ours would otherwise cost the whole file each time.
"""

from mnedge.ports import Clock

AT_ONCE_BYTES = 1 << 20
"""What may be written anew without a pause."""
BYTES_PER_S = 64 << 10
"""What comes back of that with time."""
LONGEST_PAUSE_S = 10.0


class Rewrites:
    """What may be written anew now."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._left_bytes = float(AT_ONCE_BYTES)
        self._at = now()

    def affords(self, size_bytes: int) -> bool:
        """Tell whether a file of this size may be written anew already."""
        now = self._now()
        gained = max(0.0, now - self._at) * BYTES_PER_S
        self._left_bytes, self._at = min(AT_ONCE_BYTES, self._left_bytes + gained), now
        return self._left_bytes >= min(size_bytes, AT_ONCE_BYTES / 2)

    def spend(self, size_bytes: int) -> None:
        """Take note that a file of this size was written anew."""
        debt_bytes = BYTES_PER_S * LONGEST_PAUSE_S - AT_ONCE_BYTES / 2
        self._left_bytes = max(self._left_bytes - size_bytes, -debt_bytes)
