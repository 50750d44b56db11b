"""Files of somebody else's archive or folder, before anything of them is believed.

Names, kinds and sizes are judged here; what the files say is `wheel`'s.
"""

import csv
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from mnedge.plugins.problem import Problem

MOST_FILES = 20_000
MOST_BYTES = 1 << 30
MOST_RATIO = 100
"""Unpacked over packed, beyond the first 16 MiB: more is an archive made to fill a disk."""
FREE_BYTES = 16 << 20
MOST_NAME = 400
MOST_PART = 255
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError,
           RuntimeError, KeyError, csv.Error)  # fmt: skip
"""What reading an archive raises that is none, or none any more."""
_DRIVE = re.compile(r"^[A-Za-z]:")


class Entry(NamedTuple):
    """One file inside, before it is believed."""

    path: str
    size_bytes: int
    mode: int
    """0 where the archive does not say."""


class Contents(Protocol):
    """Where files are read from: an archive or a folder."""

    name: str

    def entries(self) -> Iterator[Entry]:
        """Yield what is inside, files alone."""

    def open(self, path: str) -> IO[bytes]:
        """Open one of them."""


class Archive:
    """A wheel file."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._zip = zipfile.ZipFile(path)

    def entries(self) -> Iterator[Entry]:
        """Yield its files; a folder's own entry says nothing."""
        for item in self._zip.infolist():
            mode = item.external_attr >> 16 if item.create_system == 3 else 0
            if not item.is_dir():
                yield Entry(item.filename, item.file_size, mode)

    def archive_problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the archive as such."""
        packed = 0
        for item in self._zip.infolist():
            packed += item.compress_size
            if item.flag_bits & 0x1:
                yield Problem(message=f"{item.filename} is encrypted")
            if item.filename != item.orig_filename:
                yield Problem(message=f"the name {item.orig_filename!r} hides something")
            if item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                yield Problem(message=f"{item.filename} is packed in a way wheels do not know")
        size = sum(item.file_size for item in self._zip.infolist())
        if size > FREE_BYTES + MOST_RATIO * packed:
            yield Problem(message=f"{packed} bytes would become {size}: made to fill a disk")

    def open(self, path: str) -> IO[bytes]:
        """Open one of its files."""
        return self._zip.open(path)

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()


class Folder:
    """A folder with one distribution, or with several beside each other.

    It is held open until the process ends: it can be read though root becomes somebody else.
    """

    def __init__(self, path: Path, metadata_folder: str) -> None:
        self.name = path.name
        self._held = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path = Path(f"/proc/self/fd/{self._held}")
        self._metadata_folder = metadata_folder

    def entries(self) -> Iterator[Entry]:
        """Yield what RECORD lists and what the metadata folder holds; links are not followed."""
        listed = [*record_rows(self, self._metadata_folder)]
        inside = [*(path for path, *_ in listed), *self._metadata_files()]
        for path in dict.fromkeys(inside):
            if path.startswith("../") or os.path.isabs(path):
                continue  # what an installer put elsewhere: scripts
            mode, size = self._looked_at(path)
            yield Entry(path, size, mode)

    def open(self, path: str) -> IO[bytes]:
        """Open one of its files."""
        return open(self._path / path, "rb")  # the caller closes it

    def _metadata_files(self) -> list[str]:
        folder = self._path / self._metadata_folder
        return [f"{folder.name}/{file.name}" for file in sorted(folder.iterdir()) if file.is_file()]

    def _looked_at(self, path: str) -> tuple[int, int]:
        """Return mode and size; the mode of a link, if one leads there."""
        place, found = self._path, None
        for part in path.split("/"):
            place /= part
            try:
                found = place.lstat()
            except OSError:
                return 0, 0
            if stat.S_ISLNK(found.st_mode):
                return found.st_mode, 0
        return (found.st_mode, found.st_size) if found else (0, 0)


def name_problem(path: str) -> str:
    """Return why a path inside an archive is not taken, or nothing. Pure."""
    if not path or len(path) > MOST_NAME:
        return "is empty or too long"
    if "\\" in path or any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        return "holds characters that no file name should"
    if path.startswith("/") or _DRIVE.match(path):
        return "is absolute"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "leaves its folder or says so in a roundabout way"
    try:
        parts = [part.encode("utf-8") for part in path.split("/")]
    except UnicodeEncodeError:
        return "is no text"
    return "is too long for a disk" if max(map(len, parts)) > MOST_PART else ""


def entry_problems(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Yield what is wrong with names, kinds and sizes. Pure."""
    if len(entries) > MOST_FILES:
        yield Problem(message=f"it holds {len(entries)} files; {MOST_FILES} are allowed")
        return
    total = sum(entry.size_bytes for entry in entries)
    if total > MOST_BYTES:
        yield Problem(message=f"it would take {total} bytes; {MOST_BYTES} are allowed")
    files: set[str] = set()
    for entry in entries:
        said = name_problem(entry.path)
        if said:
            yield Problem(message=f"the name {entry.path!r} {said}")
        elif entry.path in files:
            yield Problem(message=f"{entry.path} stands in it twice")
        kind = stat.S_IFMT(entry.mode)
        if kind not in (0, stat.S_IFREG):
            what = "a link" if kind == stat.S_IFLNK else "no plain file"
            yield Problem(message=f"{entry.path!r} is {what}")
        files.add(entry.path)
    yield from nested_problems(files)


def nested_problems(files: Collection[str]) -> Iterator[Problem]:
    """Yield what would lie in a file as if that were a folder. Pure."""
    for path in files:
        if any(parent in files for parent in _parents(path)):
            yield Problem(message=f"{path} lies in what is a file")


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def record_rows(contents: Contents, folder: str) -> Iterator[list[str]]:
    """Yield the lines of RECORD."""
    with contents.open(f"{folder}/RECORD") as file:
        text = file.read(MOST_FILES * 600).decode("utf-8", "replace")
    yield from (row for row in csv.reader(io.StringIO(text)) if row)
