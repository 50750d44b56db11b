"""What a disk's medium holds: content and names that are durable, and changes that are pending.

A power cut leaves what is durable, and of what is pending whatever chance takes: writes in any
order, torn between two sectors; changes of names in their order, as far as they got.
"""

import os
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

SECTOR_BYTES = 512


class File:
    """Content on the medium, whatever its names are."""

    __slots__ = ("durable", "failures", "pending")

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = bytearray(durable)
        self.pending: list[tuple[int, bytes | None]] = []
        """Since the last fsync: writes (place, content), and cuts (size, None)."""
        self.failures = 0
        """How often an fsync failed; whoever had it open then is told so once."""

    def sync(self) -> None:
        """Make all of it durable."""
        for change in self.pending:
            _apply(self.durable, *change)
        self.pending.clear()

    def fail(self, random: Random) -> None:
        """Let an fsync fail: what chance left over counts as written, and never will be.

        So does Linux; only a write to the same place can bring it back.
        """
        self.durable[:] = self.after_cut(random)
        self.pending.clear()
        self.failures += 1

    def after_cut(self, random: Random) -> bytes:
        """Return what a power cut leaves: what was fsynced, and of the rest what chance takes."""
        content = bytearray(self.durable)
        for place, written in _survivors(self.pending, random):
            _apply(content, place, written)
        return bytes(content)


class _Entry(NamedTuple):
    """A change of names that no fsync of a folder has reached."""

    old: str
    """The name that goes; empty if none does."""
    new: str
    """The name that comes; empty if none does."""
    file: File | None
    """None: a folder."""

    def folders(self) -> set[str]:
        """Return the folders whose content it changes."""
        return {os.path.dirname(path) for path in (self.old, self.new) if path}


class Medium:
    """Names and content below one folder, as the machine sees them and as they are durable.

    `orderly`: changes of names reach the medium in their order, and any fsync takes all earlier
    ones along (as journaling file systems do); else only an fsync of the folder counts (all that
    POSIX promises).
    """

    def __init__(self, root: str, random: Random, *, orderly: bool) -> None:
        self._root = root
        self._random = random
        self._orderly = orderly
        self._names: dict[str, File | None] = {root: None}
        self._durable: dict[str, File | None] = {root: None}
        self._entries: list[_Entry] = []

    def file(self, path: str) -> File | None:
        """Return the file of that name; None for a folder, or where there is nothing."""
        return self._names.get(path)

    def has(self, path: str) -> bool:
        """Tell whether something has that name."""
        return path in self._names

    def make(self, path: str, *, folder: bool = False) -> None:
        """Give a new file or folder its name."""
        self._enter(_Entry("", path, None if folder else File()))

    def move(self, old: str, new: str) -> None:
        """Give a file another name, taking it from whoever has it."""
        self._enter(_Entry(old, new, self._names[old]))

    def drop(self, path: str) -> None:
        """Take a name away."""
        self._enter(_Entry(path, "", self._names[path]))

    def sync(self, file: File) -> None:
        """Make a file's content durable."""
        file.sync()
        if self._orderly:
            self._keep(lambda _: True)

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        self._keep(lambda entry: self._orderly or path in entry.folders())

    def cut_power(self) -> dict[str, bytes | None]:
        """Forget what is lost; return what is left, folders (None) before what is in them."""
        names = dict(self._durable)
        for entry in self._surviving():
            _enter_in(names, entry)
        left: dict[str, bytes | None] = {}
        self._names, self._entries = {self._root: None}, []
        for path in sorted(names):
            if os.path.dirname(path) in self._names:
                file = names[path]
                content = None if file is None else file.after_cut(self._random)
                self._names[path] = None if content is None else File(content)
                left[path] = content
        self._durable = dict(self._names)
        return left

    def _enter(self, entry: _Entry) -> None:
        _enter_in(self._names, entry)
        self._entries.append(entry)

    def _keep(self, reached: Callable[[_Entry], bool]) -> None:
        """Make the pending changes of names durable that an fsync reached."""
        left: list[_Entry] = []
        for entry in self._entries:
            if reached(entry):
                _enter_in(self._durable, entry)
            else:
                left.append(entry)
        self._entries = left

    def _surviving(self) -> list[_Entry]:
        """Return what a power cut leaves of the pending changes of names.

        An orderly disk keeps the first few; another one the first few of each folder.
        """
        entries = self._entries
        if self._orderly:
            return entries[: self._random.randint(0, len(entries))]
        kept: list[_Entry] = []
        left: dict[str, int] = {}
        for entry in entries:
            folder = os.path.dirname(entry.new or entry.old)
            if folder not in left:
                inside = [one for one in entries if os.path.dirname(one.new or one.old) == folder]
                left[folder] = self._random.randint(0, len(inside))
            if left[folder]:
                left[folder] -= 1
                kept.append(entry)
        return kept


def _enter_in(names: dict[str, File | None], entry: _Entry) -> None:
    if entry.old:
        names.pop(entry.old, None)
    if entry.new:
        names[entry.new] = entry.file


def _apply(content: bytearray, place: int, written: bytes | None) -> None:
    if written is None:
        del content[place:]
    if len(content) < place:
        content.extend(bytes(place - len(content)))
    if written is not None:
        content[place : place + len(written)] = written


def _survivors(
    pending: list[tuple[int, bytes | None]], random: Random
) -> Iterator[tuple[int, bytes | None]]:
    """Yield what chance lets through: nothing, the first ones, or any of them; some torn."""
    if not pending:
        return
    way = random.choice(("nothing", "everything", "first", "first", "any", "any"))
    if way == "nothing":
        return
    last = random.randrange(len(pending)) if way == "first" else len(pending)
    for number, (place, written) in enumerate(pending):
        lost = number > last or (way == "any" and random.random() < 0.5)
        torn = number == last or (way == "any" and random.random() < 0.5)
        if written is None:
            if lost or torn:
                return  # what was written after a cut lies in the same place as what was cut off
            yield place, None
        elif torn and not lost:
            yield from _sectors(place, written, random)
        elif not lost:
            yield place, written


def _sectors(place: int, written: bytes, random: Random) -> Iterator[tuple[int, bytes]]:
    """Yield the pieces of a write that lie in sectors that chance takes."""
    start = 0
    while start < len(written):
        end = min(len(written), start + SECTOR_BYTES - (place + start) % SECTOR_BYTES)
        if random.random() < 0.5:
            yield place + start, written[start:end]
        start = end
