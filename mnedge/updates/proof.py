"""Whether a program that was just started proves itself: looks in, a verdict out. Pure."""

from typing import NamedTuple

from msgspec import Struct

CRASHES = 3
"""So many ends within one trial are no accident."""
GIVEN_UP = 3
"""So many looks one after the other: a start that was asked for may not have begun at the first."""


class Seen(Struct, frozen=True, kw_only=True):
    """One look at the node."""

    at: float
    """Monotonic seconds."""
    version: str | None = None
    """Of whoever answers; None if nobody does."""
    status: str = ""
    key: str = ""
    """In which folder its program lies; empty if that cannot be seen."""
    restarts: int = 0
    """How often the service manager started it again by itself."""
    failed: bool = False
    """The service manager gave it up."""


class Expected(Struct, frozen=True, kw_only=True):
    """Who should answer, and what it should say."""

    version: str
    key: str = ""
    statuses: tuple[str, ...] = ("ok",)


class Verdict(NamedTuple):
    """The end of a trial; `why` says what is wrong."""

    good: bool
    why: str = ""


class Proof:
    """Judges by one look after the other."""

    def __init__(self, expected: Expected, *, timeout_s: float, settle_s: float) -> None:
        self._expected = expected
        self._timeout_s = timeout_s
        self._settle_s = settle_s
        self._first: Seen | None = None
        self._well_since: float | None = None
        self._given_up = 0

    def judged(self, seen: Seen) -> Verdict | None:
        """Return the verdict; None while it is open."""
        first = self._first = self._first or seen
        restarts = seen.restarts - first.restarts
        self._given_up = self._given_up + 1 if seen.failed else 0
        if self._given_up >= GIVEN_UP:
            return Verdict(False, "it ended, and the service manager gave it up")
        if restarts >= CRASHES:
            return Verdict(False, f"it ended {restarts} times")
        if (wrong := self._wrong(seen)) is not None:
            return Verdict(False, wrong)
        if not seen.failed and seen.version is not None and seen.status in self._expected.statuses:
            if self._well_since is None:
                self._well_since = seen.at
            if seen.at - self._well_since >= self._settle_s:
                return Verdict(True)
        else:
            self._well_since = None
        until = self._timeout_s + (self._settle_s if self._well_since is not None else 0.0)
        if seen.at - first.at >= until:
            return Verdict(False, self._not_in_time(seen, restarts))
        return None

    def _wrong(self, seen: Seen) -> str | None:
        expected = self._expected
        if seen.version is None:
            return None
        if seen.version != expected.version:
            return f"mnedge {seen.version} answers where {expected.version} should"
        if expected.key and seen.key and seen.key != expected.key:
            return f"another build of {seen.version} answers"
        return None

    def _not_in_time(self, seen: Seen, restarts: int) -> str:
        told = "it does not answer" if seen.version is None else f"it says {seen.status!r}"
        ends = f"; it ended {restarts} times" if restarts else ""
        return f"not well after {self._timeout_s:.0f} s: {told}{ends}"
