"""Reads the configuration again while the node runs; a bad one changes nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import trio
from msgspec import Struct

from mnedge.config.current import Change, Current
from mnedge.config.problem import ConfigInvalidError
from mnedge.config.read import Loaded
from mnedge.errors import UsageError


class Reloaded(Struct, frozen=True, kw_only=True):
    """What a reload came to. With `problems` nothing has changed."""

    changed: tuple[Change, ...] = ()
    """In force from now on."""
    needs_restart: tuple[Change, ...] = ()
    """In the file, and in force after a restart."""
    problems: tuple[dict[str, Any], ...] = ()
    """Everything that is wrong with the file, as `mnedge config check` tells it."""

    @property
    def good(self) -> bool:
        """Tell whether the file could be used."""
        return not self.problems

    @property
    def summary(self) -> str:
        """Return it in one line."""
        if self.problems:
            errors = "an error" if len(self.problems) == 1 else f"{len(self.problems)} errors"
            return f"the configuration has {errors}; the old one stays"
        settings = "1 setting" if len(self.changed) == 1 else f"{len(self.changed)} settings"
        parts = [f"{settings} changed"]
        if self.needs_restart:
            waiting = ", ".join(change.path for change in self.needs_restart)
            parts.append(f"a restart is needed for {waiting}")
        return "; ".join(parts)


class Reloading:
    """Reloads one at a time; `begun` and `done` are told around each."""

    def __init__(
        self,
        current: Current,
        load: Callable[[], Loaded],
        *,
        begun: Callable[[], None] = lambda: None,
        done: Callable[[Reloaded], None] = lambda _: None,
    ) -> None:
        self._current = current
        self._load = load
        self._begun = begun
        self._done = done
        self._one = trio.Lock()
        self._followers: list[Callable[[Sequence[Change]], None]] = []
        self._always: list[Callable[[], None]] = []

    def follow(self, changed: Callable[[Sequence[Change]], None]) -> None:
        """Have the function called with what changed, after each reload that changed something."""
        self._followers.append(changed)

    def always(self, asked: Callable[[], None]) -> None:
        """Have the function called at each reload, whatever comes of it."""
        self._always.append(asked)

    async def reload(self) -> Reloaded:
        """Read file and environment again; return what that changed, or what is wrong."""
        async with self._one:
            self._begun()
            result = Reloaded()
            try:
                result = self._read()
            finally:
                self._done(result)
        for asked in self._always:
            asked()
        if result.changed:
            for follower in self._followers:
                follower(result.changed)
        return result

    def _read(self) -> Reloaded:
        try:
            loaded = self._load()
        except ConfigInvalidError as error:
            return Reloaded(problems=tuple(error.details["problems"]))
        except UsageError as error:
            problem = {
                "rule": "CFG-E01",
                "severity": "error",
                "message": error.message,
                "location": {"source": "", "path": ""},
                "expected": None,
                "help": error.hint or None,
            }
            return Reloaded(problems=(problem,))
        changes = self._current.replace(loaded)
        return Reloaded(
            changed=tuple(change for change in changes if change.hot),
            needs_restart=tuple(change for change in changes if not change.hot),
        )
