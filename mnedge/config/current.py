"""The configuration as it is now: parts that can follow a change read it through `Current`.

Which settings are hot stands in `HOT`; all others keep the value that the node started with, so
that what is read here is always what holds.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from mnedge.config.read import Loaded
from mnedge.config.settings import Config
from mnedge.config.shown import shown_value

HOT = (
    "relay.rateLimit",
    "relay.security",
    "relay.limits.maxBody",
    "relay.limits.requestTimeout",
    "relay.limits.idleTimeout",
    "relay.limits.maxConnections",
    "relay.limits.maxStreams",
    "relay.limits.streamBacklog",
    "relay.adapters",
    "soul.policies",
    "trace.logs",
    "trace.slos",
    "trace.alerts",
    "trace.notify",
    "trace.evaluateEvery",
    "daemon.grace",
    "updates",
)
"""Paths that change while the node runs, with all that is below them.

`updates` is read by `mnedge update` alone, each time anew.
"""
SECTIONS = (
    "data_dir",
    "runs_root",
    "node",
    "durability",
    "inherit_environment",
    "openshell_fallback",
    "keep_workspaces",
    "snapshot_bytes",
    "plugins",
    "relay",
    "soul",
    "trace",
    "daemon",
    "devices",
    "connectors",
    "updates",
)


class Change(Struct, frozen=True, kw_only=True):
    """A setting that is another one now, or will be after a restart."""

    path: str
    before: Any
    after: Any
    hot: bool


def is_hot(path: str) -> bool:
    """Tell whether the setting at this path changes while the node runs."""
    return any(path == hot or path.startswith((f"{hot}.", f"{hot}[")) for hot in HOT)


class Current:
    """Holds what was loaded last; call it for the configuration that holds."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._config = loaded.config

    def __call__(self) -> Config:
        """Return the configuration that holds now."""
        return self._config

    @property
    def loaded(self) -> Loaded:
        """What holds now, and where it comes from."""
        return msgspec.structs.replace(self._loaded, config=self._config)

    def replace(self, loaded: Loaded) -> list[Change]:
        """Let the hot settings be the new ones; return every difference."""
        changes: list[Change] = []
        values = {
            name: _blended(name, getattr(self._config, name), getattr(loaded.config, name), changes)
            for name in SECTIONS
        }
        self._loaded = loaded
        self._config = msgspec.structs.replace(self._config, **values)
        return changes


def _blended(path: str, before: Any, after: Any, changes: list[Change]) -> Any:
    """Return the new value where it is hot, the old one elsewhere; note what differs."""
    if before == after:
        return before
    if isinstance(before, Struct) and type(before) is type(after) and not is_hot(path):
        inner = {
            name: _blended(
                f"{path}.{spelled}", getattr(before, name), getattr(after, name), changes
            )
            for name, spelled in _members(before)
        }
        return msgspec.structs.replace(before, **inner)
    hot = is_hot(path)
    changes += _told(path, before, after, hot)
    return after if hot else before


def _told(path: str, before: Any, after: Any, hot: bool) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, Struct) and type(before) is type(after):
        for name, spelled in _members(before):
            yield from _told(f"{path}.{spelled}", getattr(before, name), getattr(after, name), hot)
        return
    yield Change(
        path=path, before=shown_value(path, before), after=shown_value(path, after), hot=hot
    )


def _members(struct: Struct) -> list[tuple[str, str]]:
    return list(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
