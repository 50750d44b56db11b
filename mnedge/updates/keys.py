"""The keys whose releases are accepted: those that came with this program, and a node's own."""

from collections.abc import Iterable
from pathlib import Path

from mnedge.updates.envelope import read_keys

CAME_ALONG = Path(__file__).with_name("release_keys.txt")


def pinned(own: Iterable[str] = (), came_along: Path = CAME_ALONG) -> dict[str, bytes]:
    """Return the pinned public keys by their id; `own`: `updates.keys` of the configuration.

    Raises: KeyInvalidError.
    """
    lines = came_along.read_text(encoding="utf-8").splitlines() if came_along.is_file() else []
    return read_keys([*lines, *own])
