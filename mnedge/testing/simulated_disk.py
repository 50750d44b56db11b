"""A disk that can lose its power: what of it survives follows from what was fsynced.

The files are real, so the program under test, SQLite included, simply uses them. Beside them stands
a model of the medium (`medium`), and a power cut rebuilds the files from it.

While a disk is mounted, Python's own calls (`os.open`, `os.write`, `os.replace`, `open`, …) and
those of SQLite (`sqlite_files`) go through it. Each change asks a `Fate` first, which may let the
process die there, or let the disk refuse.
"""

import builtins
import errno
import io
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from random import Random
from typing import Any, NoReturn, Protocol

from msgspec import Struct

from mnedge.testing import sqlite_files
from mnedge.testing.medium import File, Medium
from mnedge.testing.sqlite_files import OK

UNTRACKED = ("-shm", ".sock")
"""Endings of what lives in memory only: it is never found after a power cut."""

_open, _close, _write, _pwrite = os.open, os.close, os.write, os.pwrite
_truncate, _sync, _datasync = os.ftruncate, os.fsync, os.fdatasync
_replace, _rename, _unlink, _remove = os.replace, os.rename, os.unlink, os.remove
_mkdir, _rmdir, _io_open = os.mkdir, os.rmdir, io.open


class CrashedError(BaseException):
    """The process that did this is dead; it unwinds, and changes nothing any more."""


class What(StrEnum):
    """A kind of change."""

    MAKE = "make"
    WRITE = "write"
    CUT = "cut"
    SYNC = "sync"
    MOVE = "move"
    DROP = "drop"
    SYNC_FOLDER = "sync_folder"


class Fault(StrEnum):
    """What may happen at a change: the process dies, or the disk refuses."""

    DIE_BEFORE = "die_before"
    DIE_DURING = "die_during"
    DIE_AFTER = "die_after"
    FULL = "full"
    BROKEN = "broken"


class Fate(Protocol):
    """Decides what happens to whoever makes a change now."""

    def of(self, what: What, path: str) -> Fault | None:
        """Return what goes wrong at this change, if anything."""

    def dead(self) -> bool:
        """Tell whether the process that is at work now has died."""

    def die(self) -> None:
        """Let the process that is at work now be dead."""


class _Opened(Struct):
    path: str
    file: File | None
    appends: bool = False
    failures: int = 0
    """Failed fsyncs of the file that this opener knows of."""


class SimulatedDisk:
    """The files below one folder, and what of them is durable.

    `orderly`: as `Medium`. `untracked`: folders below the root whose content is not modelled.
    """

    def __init__(
        self,
        root: str,
        fate: Fate,
        random: Random,
        *,
        orderly: bool = False,
        untracked: Sequence[str] = (),
    ) -> None:
        self.root = os.path.realpath(root)
        self._below = self.root + os.sep
        self._fate = fate
        self._random = random
        self._medium = Medium(self.root, random, orderly=orderly)
        self._untracked = tuple(os.path.join(self.root, one) for one in untracked)
        self._opened: dict[int, _Opened] = {}
        """By descriptor."""
        self._handles: dict[int, _Opened] = {}
        """By SQLite's handle."""

    # ---- being used ----

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Have Python's and SQLite's file operations go through the disk."""
        files = sqlite_files.install()
        functions = {
            "open": self._os_open,
            "close": self._os_close,
            "write": self._os_write,
            "pwrite": self._os_pwrite,
            "ftruncate": self._os_truncate,
            "fsync": self._os_sync,
            "fdatasync": self._os_sync,
            "replace": self._os_replace,
            "rename": self._os_replace,
            "unlink": self._os_unlink,
            "remove": self._os_unlink,
            "mkdir": self._os_mkdir,
            "rmdir": self._os_rmdir,
        }
        before = {name: getattr(os, name) for name in functions}
        opens = io.open
        try:
            files.watcher = self
            for name, function in functions.items():
                setattr(os, name, function)
            io.open = builtins.open = self._io_open
            yield
        finally:
            files.watcher = None
            for name, function in before.items():
                setattr(os, name, function)
            io.open = builtins.open = opens

    def connect(self, path: str) -> sqlite3.Connection:
        """Return a connection as the store wants it, through the disk."""
        connection = sqlite3.connect(
            sqlite_files.uri_of(path),
            uri=True,
            timeout=0.0,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        connection.disk = self
        return connection

    def check_alive(self) -> None:
        """Raise CrashedError in a process that has died."""
        if self._fate.dead():
            raise CrashedError

    def cut_power(self) -> None:
        """Leave on the disk what is durable, and what chance takes of the rest.

        Nothing may be open any more.
        """
        left = self._medium.cut_power()
        self._opened, self._handles = {}, {}
        _empty(self.root)
        for path, content in left.items():
            if content is None:
                _mkdir(path)
            else:
                with _io_open(path, "wb") as written:
                    written.write(content)

    # ---- SQLite's side ----

    def open_file(self, path: str, handle: int, do: Callable[[], int], *, creates: bool) -> int:
        """Open a file."""
        if creates and self._tracked(path) is not None:
            result = self._coded(lambda: self._make(path, lambda: None), do)
        else:
            result = do()
        if result == OK:
            self._handles[handle] = self._opening(path)
        return result

    def write_file(self, path: str, offset: int, content: bytes, do: Callable[[bytes], int]) -> int:
        """Write to it."""
        file = self._medium.file(path)
        if file is None:
            return do(content)
        result = OK

        def write(part: bytes) -> None:
            nonlocal result
            result = do(part)

        def act() -> None:
            if self._put(path, file, offset, content, write) < len(content):
                raise OSError(errno.ENOSPC, "no space left on device (simulated)")

        return self._coded(act, lambda: result)

    def cut_file(self, path: str, size_bytes: int, do: Callable[[], int]) -> int:
        """Make it so long."""
        file = self._medium.file(path)
        if file is None:
            return do()
        result = OK

        def cut() -> None:
            nonlocal result
            result = do()

        return self._coded(lambda: self._cut(path, file, size_bytes, cut), lambda: result)

    def sync_file(self, path: str, handle: int, *, with_folder: bool) -> int:
        """Make it durable."""

        def act() -> None:
            self._sync(self._handles[handle])
            if with_folder:
                self._sync_folder(os.path.dirname(path))

        return self._coded(act, lambda: OK)

    def delete_file(self, path: str, do: Callable[[], int], *, with_folder: bool) -> int:
        """Delete it."""
        if self._medium.file(path) is None:
            return do()
        result = OK

        def drop() -> None:
            nonlocal result
            result = do()

        def act() -> None:
            self._drop(path, drop)
            if with_folder:
                self._sync_folder(os.path.dirname(path))

        return self._coded(act, lambda: result)

    def _coded(self, act: Callable[[], None], do: Callable[[], int]) -> int:
        """Carry out a change as SQLite wants it: with a result code instead of an exception."""
        try:
            act()
        except CrashedError:
            return sqlite3.SQLITE_IOERR
        except OSError as error:
            full = error.errno == errno.ENOSPC
            return sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
        return do()

    # ---- Python's side ----

    def _tracked(self, path: Any) -> str | None:
        """Return the path as text if it is ours to model."""
        if isinstance(path, int):
            return None
        text = os.fspath(path)
        if not isinstance(text, str) or not (text + os.sep).startswith(self._below):
            return None
        if text.startswith(self._untracked) or text.endswith(UNTRACKED):
            return None
        return text

    def _os_open(
        self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        tracked = None if dir_fd is not None else self._tracked(path)
        if tracked is None:
            return _open(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_TRUNC:
            raise NotImplementedError("O_TRUNC through os.open")
        if flags & os.O_CREAT and not os.path.lexists(tracked):
            opened: list[int] = []
            self._make(tracked, lambda: opened.append(_open(path, flags, mode)))
            return self._noted(opened[0], tracked, flags)
        return self._noted(_open(path, flags, mode), tracked, flags)

    def _noted(self, fd: int, path: str, flags: int) -> int:
        self._opened[fd] = self._opening(path)
        self._opened[fd].appends = bool(flags & os.O_APPEND)
        return fd

    def _opening(self, path: str) -> _Opened:
        file = self._medium.file(path)
        return _Opened(path, file, failures=0 if file is None else file.failures)

    def _os_close(self, fd: int) -> None:
        self._opened.pop(fd, None)
        _close(fd)

    def _os_write(self, fd: int, content: Any) -> int:
        opened = self._opened.get(fd)
        if opened is None or opened.file is None:
            return _write(fd, content)
        size = os.fstat(fd).st_size if opened.appends else os.lseek(fd, 0, os.SEEK_CUR)
        return self._put(
            opened.path, opened.file, size, bytes(content), lambda part: _write(fd, part)
        )

    def _os_pwrite(self, fd: int, content: Any, offset: int) -> int:
        opened = self._opened.get(fd)
        if opened is None or opened.file is None:
            return _pwrite(fd, content, offset)
        return self._put(
            opened.path,
            opened.file,
            offset,
            bytes(content),
            lambda part: _pwrite(fd, part, offset),
        )

    def _os_truncate(self, fd: int, size_bytes: int) -> None:
        opened = self._opened.get(fd)
        if opened is None or opened.file is None:
            _truncate(fd, size_bytes)
            return
        self._cut(opened.path, opened.file, size_bytes, lambda: _truncate(fd, size_bytes))

    def _os_sync(self, fd: int) -> None:
        opened = self._opened.get(fd)
        if opened is None:
            _sync(fd)
        elif opened.file is None:
            self._sync_folder(opened.path)
        else:
            self._sync(opened)

    def _os_replace(self, source: Any, target: Any, **more: Any) -> None:
        old, new = self._tracked(source), self._tracked(target)
        if old is None and new is None:
            _replace(source, target, **more)
            return
        if old is None or new is None or more or self._medium.file(old) is None:
            raise NotImplementedError(f"a rename that is not modelled: {source} to {target}")
        self._move(old, new)

    def _os_unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        tracked = None if dir_fd is not None else self._tracked(path)
        if tracked is None or not self._medium.has(tracked):
            _unlink(path, dir_fd=dir_fd)
        else:
            self._drop(tracked, lambda: _unlink(tracked))

    def _os_mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        tracked = None if dir_fd is not None else self._tracked(path)
        if tracked is None:
            _mkdir(path, mode, dir_fd=dir_fd)
        else:
            self._make(tracked, lambda: _mkdir(tracked, mode), folder=True)

    def _os_rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        tracked = None if dir_fd is not None else self._tracked(path)
        if tracked is not None and self._medium.has(tracked):
            self._drop(tracked, lambda: _rmdir(tracked))
        else:
            _rmdir(path, dir_fd=dir_fd)

    def _io_open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: Any = None,
        errors: Any = None,
        newline: Any = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        path = self._tracked(file)
        if path is None or not set(mode) & set("wxa+"):
            return _io_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if mode not in ("wb", "xb"):
            raise NotImplementedError(f"open({path!r}, {mode!r}) is not modelled")
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if mode == "xb" else 0)
        fd = (opener or os.open)(path, flags)
        if mode == "wb" and os.fstat(fd).st_size:
            os.ftruncate(fd, 0)
        raw = _Raw(fd)
        return raw if buffering == 0 else io.BufferedWriter(raw)

    # ---- changes ----

    def _make(self, path: str, do: Callable[[], object], *, folder: bool = False) -> None:
        if os.path.lexists(path):
            do()  # says what is wrong with that
        fault = self._ask(What.MAKE, path)
        if fault is Fault.FULL:
            raise OSError(errno.ENOSPC, "no space left on device (simulated)", path)
        do()
        self._medium.make(path, folder=folder)
        self._after(fault)

    def _put(
        self, path: str, file: File, offset: int, content: bytes, do: Callable[[bytes], object]
    ) -> int:
        fault = self._ask(What.WRITE, path)
        part = content
        if fault in (Fault.DIE_DURING, Fault.FULL):
            part = content[: self._random.randrange(len(content))] if content else content
        if fault is Fault.FULL and not part:
            raise OSError(errno.ENOSPC, "no space left on device (simulated)", path)
        if part:
            do(part)
            file.pending.append((offset, part))
        self._after(fault)
        return len(part)

    def _cut(self, path: str, file: File, size_bytes: int, do: Callable[[], object]) -> None:
        fault = self._ask(What.CUT, path)
        do()
        file.pending.append((size_bytes, None))
        self._after(fault)

    def _sync(self, opened: _Opened) -> None:
        path, file = opened.path, opened.file
        if file is None:
            return
        fault = self._ask(What.SYNC, path, broken_is_later=True)
        if fault is Fault.DIE_DURING:
            file.durable[:] = file.after_cut(self._random)  # the rest is still to be written
            self._die()
        if fault is Fault.BROKEN:
            file.fail(self._random)
        if opened.failures < file.failures:
            opened.failures = file.failures
            raise OSError(errno.EIO, "input/output error (simulated)", path)
        self._medium.sync(file)
        self._after(fault)

    def _sync_folder(self, path: str) -> None:
        fault = self._ask(What.SYNC_FOLDER, path)
        self._medium.sync_folder(path)
        self._after(fault)

    def _move(self, old: str, new: str) -> None:
        fault = self._ask(What.MOVE, new)
        _replace(old, new)
        self._medium.move(old, new)
        self._after(fault)

    def _drop(self, path: str, do: Callable[[], object]) -> None:
        fault = self._ask(What.DROP, path)
        do()
        self._medium.drop(path)
        self._after(fault)

    def _ask(self, what: What, path: str, *, broken_is_later: bool = False) -> Fault | None:
        self.check_alive()
        fault = self._fate.of(what, path)
        if fault is Fault.DIE_BEFORE:
            self._die()
        if fault is Fault.BROKEN and not broken_is_later:
            raise OSError(errno.EIO, "input/output error (simulated)", path)
        return fault

    def _after(self, fault: Fault | None) -> None:
        if fault in (Fault.DIE_DURING, Fault.DIE_AFTER):
            self._die()

    def _die(self) -> NoReturn:
        self._fate.die()
        raise CrashedError


def _empty(folder: str) -> None:
    """Remove all that is in a folder, without the disk's noticing."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _empty(entry.path)
                _rmdir(entry.path)
            else:
                _unlink(entry.path)


class _Connection(sqlite3.Connection):
    """Learns after each statement whether its process died in it: SQLite only says I/O error."""

    disk: SimulatedDisk

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            return super().execute(sql, parameters)
        finally:
            self.disk.check_alive()

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        try:
            return super().executemany(sql, parameters)
        finally:
            self.disk.check_alive()


class _Raw(io.RawIOBase):
    """What `open` returns for writing: a file whose writes go through `os.write`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def write(self, content: Any) -> int:
        """Write, maybe not all of it."""
        return os.write(self._fd, content)

    def close(self) -> None:
        """Let go of the file."""
        if not self.closed:
            super().close()
            os.close(self._fd)
