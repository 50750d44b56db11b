"""The node's signing keys, in one file that only its owner can read."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from mnedge.identity.keys import Lives, Ring, SigningKey, advanced, new_key
from mnedge.identity.private_files import locked, read_private, write_private
from mnedge.identity.refusals import KeyFileDamagedError


class _Content(Struct, frozen=True, kw_only=True):
    keys: tuple[SigningKey, ...]
    version: int = 1


class KeyFile:
    """Reads the ring when it changed, and moves it on; any process may do so at any time."""

    def __init__(self, data_dir: Path, make: Callable[[], tuple[str, str]] = new_key) -> None:
        self.path = data_dir / "identity" / "signing-keys.json"
        self._make = make
        self._ring: Ring = ()
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> Ring:
        """Return the ring as the file has it; empty if there is none.

        Raises: KeyFileUnsafeError; KeyFileDamagedError.
        """
        seen = self._mark()
        if seen is None or seen != self._seen:
            content = read_private(self.path)
            self._ring = () if content is None else self._parsed(content)
            self._seen = seen
        return self._ring

    def advance(self, now: float, lives: Lives) -> Ring:
        """Return the ring as it should be now; write it if that changed.

        Raises: KeyFileUnsafeError; KeyFileDamagedError; OSError if it cannot be written.
        """
        ring = self.read()
        if ring and advanced(ring, now, lives, _never) is ring:
            return ring
        with locked(self.path.with_name("lock")):
            self._seen = None
            ring = self.read()
            wanted = advanced(ring, now, lives, self._make)
            if wanted is not ring:
                write_private(self.path, msgspec.json.encode(_Content(keys=wanted)))
                self._ring, self._seen = wanted, self._mark()
            return wanted

    def _parsed(self, content: bytes) -> Ring:
        try:
            return msgspec.json.decode(content, type=_Content).keys
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KeyFileDamagedError(
                f"{self.path} holds no signing keys: {error}",
                hint="delete it: new keys are made, and tokens signed before are refused",
                details={"path": str(self.path)},
            ) from None

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_mode


def _never() -> tuple[str, str]:
    """Stand in for a new key while it is only asked whether one is due."""
    return "", ""
