"""SQLite's own file operations, seen from Python: `sqlite3` itself stays as it is.

A VFS is registered with the very library that `sqlite3` uses, through its C interface. It opens
files as SQLite's default VFS does and leaves reading, locking and shared memory to it; whatever
changes a file, or makes it durable, asks a `Watcher` first. `sqlite3.connect(uri_of(path),
uri=True)` goes through it.

A look at `sqlite3_source_id` proves that it is the same library; where that cannot be had
(`sqlite3` linked statically, symbols hidden) `install` says so instead of watching nothing.
"""

import _sqlite3
import ctypes
import os
import sqlite3
from collections.abc import Callable
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    addressof,
    c_char_p,
    c_int,
    c_int64,
    c_void_p,
    cast,
    string_at,
)
from typing import Any, Protocol

from msgspec import Struct

NAME = "watched"
OK = sqlite3.SQLITE_OK
_CREATE = 0x00000004
_JOURNALS = 0x00080000 | 0x00000800 | 0x00004000
"""Flags of xOpen: write-ahead logs and rollback journals. SQLite syncs their folder once."""

_File, _Vfs = c_void_p, c_void_p
_CLOSE = CFUNCTYPE(c_int, _File)
_WRITE = CFUNCTYPE(c_int, _File, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, _File, c_int64)
_SYNC = CFUNCTYPE(c_int, _File, c_int)
_OPEN = CFUNCTYPE(c_int, _Vfs, c_void_p, _File, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, _Vfs, c_char_p, c_int)


class _IoMethods(Structure):
    """`sqlite3_io_methods`, version 3; what is not touched here is an address."""

    _fields_ = (
        ("iVersion", c_int),
        ("xClose", _CLOSE),
        ("xRead", c_void_p),
        ("xWrite", _WRITE),
        ("xTruncate", _TRUNCATE),
        ("xSync", _SYNC),
        *((f"rest{number}", c_void_p) for number in range(13)),
    )


class _VfsMethods(Structure):
    """`sqlite3_vfs`, version 3."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", _OPEN),
        ("xDelete", _DELETE),
        *((f"rest{number}", c_void_p) for number in range(15)),
    )


class _OsFile(Structure):
    """`sqlite3_file`: what every open file begins with."""

    _fields_ = (("pMethods", c_void_p),)


class _Open(Struct):
    """A file that SQLite has open through us."""

    path: str
    plain: _IoMethods
    folder_unsynced: bool


class Watcher(Protocol):
    """Is asked before each change. Returns the result code that SQLite is to see; never raises.

    `do` carries the change out and returns SQLite's result code.
    """

    def open_file(self, path: str, handle: int, do: Callable[[], int], *, creates: bool) -> int:
        """Open a file; `creates`: it is not there yet. `handle` stands for it till it is closed."""

    def write_file(self, path: str, offset: int, content: bytes, do: Callable[[bytes], int]) -> int:
        """Write content at a place; `do` writes what it is given of its beginning."""

    def cut_file(self, path: str, size_bytes: int, do: Callable[[], int]) -> int:
        """Make the file so long."""

    def sync_file(self, path: str, handle: int, *, with_folder: bool) -> int:
        """Make the file durable; `with_folder`: and the names in the folder it lies in."""

    def delete_file(self, path: str, do: Callable[[], int], *, with_folder: bool) -> int:
        """Delete a file; `with_folder`: durably."""


class LibraryUnreachableError(Exception):
    """The library behind `sqlite3` cannot be reached through ctypes."""


class SqliteFiles:
    """The VFS. One per process is enough: it stays registered, and asks whoever watches."""

    def __init__(self) -> None:
        self.watcher: Watcher | None = None
        self._open: dict[int, _Open] = {}
        """By the address of SQLite's file."""
        self._tables: dict[int, tuple[_IoMethods, _IoMethods]] = {}
        library = _library()
        library.sqlite3_vfs_find.restype = c_void_p
        found = library.sqlite3_vfs_find(None)
        if found is None:
            raise LibraryUnreachableError("SQLite has no default VFS")
        self._plain = cast(c_void_p(found), POINTER(_VfsMethods)).contents
        self._plain_address = found
        self._vfs = _VfsMethods()
        ctypes.memmove(addressof(self._vfs), found, ctypes.sizeof(_VfsMethods))
        self._vfs.zName = NAME.encode()
        self._vfs.xOpen = _OPEN(self._on_open)
        self._vfs.xDelete = _DELETE(self._on_delete)
        self._callbacks = (
            _CLOSE(self._on_close),
            _WRITE(self._on_write),
            _TRUNCATE(self._on_truncate),
            _SYNC(self._on_sync),
        )
        library.sqlite3_vfs_register.argtypes = (c_void_p, c_int)
        if library.sqlite3_vfs_register(addressof(self._vfs), 0) != OK:
            raise LibraryUnreachableError("SQLite refused another VFS")

    def _on_open(self, _: int, name: int | None, file: int, flags: int, out: Any) -> int:
        def do() -> int:
            result: int = self._plain.xOpen(self._plain_address, name, file, flags, out)
            return result

        head = cast(c_void_p(file), POINTER(_OsFile)).contents
        head.pMethods = None
        path = "" if name is None else string_at(name).decode()
        if self.watcher is None or not path:
            return do()
        creates = bool(flags & _CREATE) and not os.path.lexists(path)
        result = self.watcher.open_file(path, file, do, creates=creates)
        if result == OK:
            plain, ours = self._tables.get(head.pMethods) or self._table(head.pMethods)
            self._open[file] = _Open(path, plain, bool(flags & _CREATE and flags & _JOURNALS))
            head.pMethods = addressof(ours)
        return result

    def _table(self, address: int) -> tuple[_IoMethods, _IoMethods]:
        plain = cast(c_void_p(address), POINTER(_IoMethods)).contents
        ours = _IoMethods()
        ctypes.memmove(addressof(ours), address, ctypes.sizeof(_IoMethods))
        ours.xClose, ours.xWrite, ours.xTruncate, ours.xSync = self._callbacks
        self._tables[address] = self._tables[addressof(ours)] = (plain, ours)
        return plain, ours

    def _on_close(self, file: int) -> int:
        result: int = self._open.pop(file).plain.xClose(file)
        return result

    def _on_write(self, file: int, buffer: int, size_bytes: int, offset: int) -> int:
        opened = self._open[file]
        content = string_at(buffer, size_bytes)

        def do(part: bytes) -> int:
            result: int = opened.plain.xWrite(file, part, len(part), offset)
            return result

        if self.watcher is None:
            return do(content)
        return self.watcher.write_file(opened.path, offset, content, do)

    def _on_truncate(self, file: int, size_bytes: int) -> int:
        opened = self._open[file]

        def do() -> int:
            result: int = opened.plain.xTruncate(file, size_bytes)
            return result

        return self.watcher.cut_file(opened.path, size_bytes, do) if self.watcher else do()

    def _on_sync(self, file: int, flags: int) -> int:
        opened = self._open[file]
        if self.watcher is None:
            return int(opened.plain.xSync(file, flags))
        result = self.watcher.sync_file(opened.path, file, with_folder=opened.folder_unsynced)
        opened.folder_unsynced &= result != OK
        return result

    def _on_delete(self, _: int, name: bytes, with_folder: int) -> int:
        def do() -> int:
            result: int = self._plain.xDelete(self._plain_address, name, 0)
            return result

        if self.watcher is None:
            return int(self._plain.xDelete(self._plain_address, name, with_folder))
        return self.watcher.delete_file(name.decode(), do, with_folder=bool(with_folder))


def uri_of(path: str) -> str:
    """Return what to connect to, with `uri=True`."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?vfs={NAME}"


_installed: list[SqliteFiles] = []


def install() -> SqliteFiles:
    """Return the VFS of this process, registered.

    Raises: LibraryUnreachableError.
    """
    if not _installed:
        _installed.append(SqliteFiles())
    return _installed[0]


def _library() -> Any:
    """Return the library that `sqlite3` uses, and nothing that merely is called alike."""
    try:
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        library.sqlite3_sourceid.restype = c_char_p
        found = library.sqlite3_sourceid().decode()
    except (OSError, AttributeError) as error:
        raise LibraryUnreachableError(f"sqlite3 hides its library: {error}") from error
    with sqlite3.connect(":memory:") as connection:
        (used,) = connection.execute("SELECT sqlite_source_id()").fetchone()
    connection.close()
    if used != found:
        raise LibraryUnreachableError(f"sqlite3 uses {used}, ctypes finds {found}")
    return library
