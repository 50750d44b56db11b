"""When an upstream that fails is left alone. Pure: the caller says what time it is."""

from collections import deque

from mnedge.config.settings import Breaker as Settings


class Breaker:
    """Opens after `failures` failures within `window`, for `open` seconds; then lets one try."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._failed: deque[float] = deque(maxlen=max(settings.failures, 1))
        self._open_until: float | None = None
        self._trying = False

    def waits_s(self, now: float) -> float:
        """Return for how long it must be left alone; 0: it may be asked.

        After the pause one caller may ask; the others wait for what comes of it.
        """
        if self._open_until is None:
            return 0.0
        if now < self._open_until:
            return self._open_until - now
        if self._trying:
            return 1.0
        self._trying = True
        return 0.0

    def succeeded(self) -> None:
        """Close."""
        self._failed.clear()
        self._open_until = None
        self._trying = False

    def failed(self, now: float) -> bool:
        """Count a failure; return True if that opened it."""
        self._failed.append(now)
        full = len(self._failed) == self._failed.maxlen
        recent = full and now - self._failed[0] <= self._settings.window
        if not (self._trying or recent):
            return False
        was_open = self._open_until is not None
        self._open_until = now + self._settings.open
        self._trying = False
        return not was_open

    def gave_up(self) -> None:
        """Forget a try that came to nothing: the caller went away."""
        self._trying = False

    def state(self, now: float) -> str:
        """Return `closed`, `open` or `half-open`."""
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half-open"
