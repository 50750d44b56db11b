"""Folders whose entries come and go, without asking: the kernel says so.

Nothing wakes as long as nothing happens. Source: inotify(7).
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import trio

_CREATE, _DELETE, _FROM, _TO = 0x100, 0x200, 0x40, 0x80
_SELF, _ONLY_FOLDERS, _OVERFLOW, _IGNORED = 0x400 | 0x800, 0x01000000, 0x4000, 0x8000
_MASK = _CREATE | _DELETE | _FROM | _TO | _SELF | _ONLY_FOLDERS
_HEAD = struct.Struct("iIII")
_READ_BYTES = 16 << 10


class FolderWatch:
    """Tells who has to look again. Close it.

    Raises: OSError if the kernel gives no watch, for example because a user has too many.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._called("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        self._places: dict[int, str] = {}
        self._names: dict[str, set[str]] = {}

    def close(self) -> None:
        """Watch nothing any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def follow(self, wanted: Mapping[str, Iterable[str]]) -> set[str]:
        """Watch name → folders from now on; return the names for whom a new folder is watched.

        For a folder that is not there, the nearest one above it is watched.
        """
        names: dict[str, set[str]] = {}
        for name, folders in wanted.items():
            for folder in folders:
                names.setdefault(_existing(folder), set()).add(name)
        for watch, place in list(self._places.items()):
            if place not in names:
                self._libc.inotify_rm_watch(self._fd, watch)
                del self._places[watch]
        fresh: set[str] = set()
        for place in sorted(names.keys() - set(self._places.values())):
            try:
                watch = self._called("inotify_add_watch", os.fsencode(place), _MASK)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                    continue
                raise
            self._places[watch] = place
            fresh |= names[place]
        self._names = names
        return fresh

    async def changed(self) -> set[str]:
        """Wait until something came or went; return the names that follow the folder."""
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            try:
                return self._read(os.read(self._fd, _READ_BYTES))
            except BlockingIOError:
                continue

    def _read(self, told: bytes) -> set[str]:
        found: set[str] = set()
        at = 0
        while at < len(told):
            watch, mask, _, length = _HEAD.unpack_from(told, at)
            at += _HEAD.size + length
            if mask & _OVERFLOW:
                return {name for names in self._names.values() for name in names}
            place = self._places.get(watch, "")
            found |= self._names.get(place, set())
            if mask & _IGNORED:
                self._places.pop(watch, None)
        return found

    def _called(self, name: str, *arguments: int | bytes) -> int:
        first = () if name == "inotify_init1" else (self._fd,)
        answer: int = getattr(self._libc, name)(*first, *arguments)
        if answer < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)
        return answer


def _existing(folder: str) -> str:
    place = Path(folder)
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return str(place)
