"""The files of a bundle, wherever they are: a folder, or a bare list of names."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from mnedge.errors import UsageError

NOT_CONTENT = frozenset({".git", ".hg", ".svn"})
"""Folders that belong to the author's tools; they are no part of a bundle."""
MAX_FILES = 20_000
MAX_DEPTH = 64
MAX_NAME_BYTES = 255


class Unsafe(NamedTuple):
    """A name in the bundle that is not a plain file or folder inside it."""

    name: str
    reason: str


class Files(Protocol):
    """What the validator may ask of a bundle's files. Names are relative, POSIX style."""

    unsafe: list[Unsafe]

    def names(self) -> list[str]:
        """Return every regular file, sorted."""

    def is_file(self, name: str) -> bool:
        """Tell whether a regular file stands there."""

    def is_dir(self, name: str) -> bool:
        """Tell whether a folder stands there."""

    def read(self, name: str) -> bytes | None:
        """Return the content, or None if it is not at hand.

        Raises: OSError if it cannot be read.
        """

    def size(self, name: str) -> int | None:
        """Return the size in bytes, or None if it is unknown."""


class FilesLimitError(UsageError):
    """A bundle has more files, or deeper folders, than any bundle should."""

    code = "bundle.too_many_files"


class ListedFiles:
    """Files known by name; the content of some of them is at hand."""

    def __init__(
        self,
        names: Iterable[str],
        contents: Mapping[str, bytes] | None = None,
        *,
        folders: Iterable[str] = (),
        unsafe: Iterable[Unsafe] = (),
    ) -> None:
        self._contents = dict(contents or {})
        self._names = sorted({*names, *self._contents})
        self._files = frozenset(self._names)
        self._folders = {parent for name in self._names for parent in _parents(name)}
        self._folders |= {"", *folders}
        self.unsafe = list(unsafe)

    def names(self) -> list[str]:
        """Return every regular file, sorted."""
        return self._names

    def folders(self) -> list[str]:
        """Return every folder but the root, sorted."""
        return sorted(self._folders - {""})

    def is_file(self, name: str) -> bool:
        """Tell whether a regular file stands there."""
        return name in self._files

    def is_dir(self, name: str) -> bool:
        """Tell whether a folder stands there."""
        return name in self._folders

    def read(self, name: str) -> bytes | None:
        """Return the content, or None if it is not at hand."""
        return self._contents.get(name)

    def size(self, name: str) -> int | None:
        """Return the size in bytes, or None if the content is not at hand."""
        content = self._contents.get(name)
        return None if content is None else len(content)


class FolderFiles(ListedFiles):
    """A folder on disk, listed once.

    Symbolic links are followed only inside it, and not below `payloads/`.
    """

    def __init__(self, root: Path) -> None:
        """List the folder.

        Raises: FilesLimitError; OSError if the folder itself cannot be read.
        """
        self.root = root
        self._real_root = os.path.realpath(root)
        self._sizes: dict[str, int] = {}
        unsafe: list[Unsafe] = []
        folders: list[str] = []
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
            except OSError as error:
                if not folder:
                    raise
                unsafe.append(Unsafe(folder, f"cannot be read: {error.strerror}"))
                continue
            for entry in entries:
                if entry.name in NOT_CONTENT:
                    continue
                name = f"{folder}/{entry.name}" if folder else entry.name
                reason = self._take(name, entry, pending)
                if reason:
                    unsafe.append(Unsafe(name.encode(errors="backslashreplace").decode(), reason))
            folders.append(folder)
            if len(self._sizes) + len(folders) > MAX_FILES:
                raise FilesLimitError(
                    f"the bundle holds more than {MAX_FILES} files",
                    hint="leave vendored packages and caches out of the bundle",
                )
        super().__init__(self._sizes, folders=folders, unsafe=unsafe)

    def _take(self, name: str, entry: os.DirEntry[str], pending: list[str]) -> str:
        """Keep one entry; return why it is not kept."""
        try:
            name.encode()
            if entry.is_symlink():
                return self._take_link(name, entry)
            mode = entry.stat(follow_symlinks=False)
        except UnicodeEncodeError:
            return "its name is not UTF-8"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        if stat.S_ISDIR(mode.st_mode):
            if name.count("/") >= MAX_DEPTH:
                return f"deeper than {MAX_DEPTH} folders"
            pending.append(name)
        elif stat.S_ISREG(mode.st_mode) and os.access(entry.path, os.R_OK):
            self._sizes[name] = mode.st_size
        elif stat.S_ISREG(mode.st_mode):
            return "cannot be read by this user"
        else:
            return "is neither a file nor a folder"
        return ""

    def _take_link(self, name: str, entry: os.DirEntry[str]) -> str:
        if name.startswith("payloads/"):
            return "is a symbolic link; payloads must hold plain files"
        target = os.path.realpath(entry.path)
        if target != self._real_root and not target.startswith(self._real_root + os.sep):
            return "is a symbolic link out of the bundle"
        if os.path.isfile(target):
            self._sizes[name] = os.stat(target).st_size
            return ""
        return "is a symbolic link to no file"

    def read(self, name: str) -> bytes | None:
        """Return the content, or None if it is not there.

        Raises: OSError if it cannot be read.
        """
        return (self.root / name).read_bytes() if name in self._sizes else None

    def size(self, name: str) -> int | None:
        """Return the size in bytes."""
        return self._sizes.get(name)


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def unsafe_path(path: str) -> str:
    """Return why `path` is no safe relative path, or the empty text.

    A safe path is POSIX style, not absolute, without `..`, control characters or backslashes.
    """
    if not path:
        return "is empty"
    if path.startswith("/") or (len(path) > 1 and path[1] == ":" and path[0].isalpha()):
        return "is absolute"
    if "\\" in path:
        return "contains a backslash"
    if any(ord(character) < 32 or character == "\x7f" for character in path):
        return "contains a control character"
    parts = path.split("/")
    if ".." in parts:
        return "contains `..`"
    if any(len(part.encode(errors="replace")) > MAX_NAME_BYTES for part in parts):
        return f"has a part longer than {MAX_NAME_BYTES} bytes"
    return ""


def tidy(path: str) -> str:
    """Return a safe relative path without `.` parts and doubled or trailing slashes."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))
