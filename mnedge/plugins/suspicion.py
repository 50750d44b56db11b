"""Who was at work when this process hung or crashed: kept in a file that outlives it.

`<data_dir>/plugins/suspect-<pid>.txt` begins with a line of JSON; what follows is written by
`faulthandler`, which needs neither Python's lock nor a loop that runs. The process holds the file's
lock, so that the next one knows whose owner is gone. There is such a file only while plugins from
outside are loaded.
"""

import atexit
import faulthandler
import fcntl
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from mnedge.boot import boot_id
from mnedge.plugins.depot import Stage

PREFIX = "suspect-"
LOADING_S = 10.0
"""How long importing a plugin and asking its hooks may take, although its probe was quick."""
MOST_BYTES = 1 << 20
_log = logging.getLogger("mnedge.plugins")
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)$')
_THREAD = re.compile(r"^(?P<current>Current thread|Thread) 0x(?P<id>[0-9a-f]+)")
_WAITING = ("_io_epoll.py", "_io_poll.py", "_io_kqueue.py")
"""Where a loop that has nothing to do stands, in files of trio."""


class Header(Struct, frozen=True, kw_only=True):
    """First line of the file."""

    boot: str
    thread: int
    """The loop's."""
    folders: dict[str, str]
    """Folder of the depot → plugin."""
    loading: str = ""
    """The plugin that is being imported or asked."""


class Blame(Struct, frozen=True, kw_only=True):
    """A plugin that was found at the place where a process ended."""

    plugin: str
    stage: Stage
    reason: str
    trace: str = ""
    is_certain: bool = True
    """False: the process ended while it was loaded, and left no trace of why."""


class Thread(Struct, frozen=True, kw_only=True):
    """The stack of one thread, innermost frame first."""

    number: int
    is_current: bool
    frames: tuple[tuple[str, str], ...]
    """File, and the frame as it was written."""


class Watch:
    """Writes down what this process would be blamed for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / f"{PREFIX}{os.getpid()}.txt"
        self._file: int | None = None
        self._header = Header(boot=boot_id(), thread=threading.get_ident(), folders={})
        self._clean = 0
        self._pid = os.getpid()

    def follow(self, folder: str, plugin: str) -> None:
        """Know the plugin by the folder that its files are in."""
        folders = {**self._header.folders, folder: plugin}
        self._header = msgspec.structs.replace(self._header, folders=folders)
        if self._file is None:
            self._open()

    @contextmanager
    def loading(self, plugin: str, limit_s: float = LOADING_S) -> Iterator[None]:
        """Have the process ended, and the plugin named, if the block hangs or crashes."""
        self._note(plugin)
        told = threading.Timer(limit_s - 0.5, _tell, (plugin, limit_s))
        told.daemon = True
        told.start()
        self.arm(limit_s, exits=True)
        try:
            yield
        finally:
            self.calm()
            told.cancel()
            told.join()
        self._note("")  # not after Ctrl-C, nor after what ends the process

    def arm(self, seconds: float, *, exits: bool = False) -> None:
        """Have all stacks written down if this is not called again within that time."""
        if self._file is not None:
            faulthandler.dump_traceback_later(seconds, exit=exits, file=self._file)

    def calm(self) -> None:
        """Stop waiting for a hang."""
        if self._file is not None:
            faulthandler.cancel_dump_traceback_later()

    def moved(self) -> None:
        """Forget that the loop stood still, if it did, and say in the log who held it up."""
        if self._file is None or os.fstat(self._file).st_size <= self._clean:
            return
        text = os.pread(self._file, MOST_BYTES, 0).decode("utf-8", "replace")
        self._note("")
        who = blamed(text)
        if who is not None:
            _log.warning("plugin %s held up the loop for a while:\n%s", who.plugin, who.trace)

    def close(self) -> None:
        """Leave nothing behind if the process ends as it should."""
        if self._file is None or os.getpid() != self._pid:  # a fork has no say in it
            return
        self.calm()
        faulthandler.disable()
        if not self._header.loading:  # else something ends the process that should not
            with suppress(OSError):
                self._path.unlink()
        os.close(self._file)
        self._file = None

    def _open(self) -> None:
        with suppress(OSError):  # a disk that takes nothing: plugins run unwatched
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._note("")
            faulthandler.enable(self._file)
            atexit.register(self.close)

    def _note(self, loading: str) -> None:
        if self._file is None:
            return
        self._header = msgspec.structs.replace(self._header, loading=loading)
        line = msgspec.json.encode(self._header) + b"\n"
        with suppress(OSError):
            os.ftruncate(self._file, 0)
            os.write(self._file, line)
        self._clean = len(line)


@cache
def watch(folder: Path) -> Watch:
    """Return the watch of this process over the plugins of a depot."""
    return Watch(folder)


def collect(folder: Path) -> list[Blame]:
    """Return what processes that are gone left behind, and remove it."""
    found = []
    with suppress(OSError):
        for path in sorted(folder.glob(f"{PREFIX}*.txt")):
            found += _of_the_dead(path)
    return found


def _of_the_dead(path: Path) -> list[Blame]:
    with suppress(OSError):
        number = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = os.pread(number, MOST_BYTES, 0).decode("utf-8", "replace")
            path.unlink()
        finally:
            os.close(number)
        blame = blamed(text)
        return [blame] if blame else []
    return []


def blamed(text: str, now_boot: str | None = None) -> Blame | None:
    """Return whom the file blames, if anybody. Pure, but for the boot id."""
    line, _, rest = text.partition("\n")
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    threads = [*stacks(rest)]
    is_fatal, is_late = "Fatal Python error" in rest, "Timeout (" in rest
    if header.loading and (is_fatal or is_late):
        what = "crashed the process" if is_fatal else f"did not come back within {LOADING_S:.0f} s"
        reason = f"it {what} while it was loaded"
        return Blame(
            plugin=header.loading,
            stage="crash" if is_fatal else "hook",
            reason=reason,
            trace=_shown(threads, header, header.loading),
        )
    if header.loading and header.boot == (now_boot or boot_id()):
        reason = "the process ended while it was loaded, and nobody knows why"
        return Blame(plugin=header.loading, stage="crash", reason=reason, is_certain=False)
    if not threads:
        return None
    plugin = _at_work(threads, header, is_fatal=is_fatal)
    if plugin is None:
        return None
    fatal = next((said for said in rest.splitlines() if said.startswith("Fatal Python")), "")
    return Blame(
        plugin=plugin,
        stage="crash" if is_fatal and not is_late else "loop",
        reason=(
            f"it crashed the process ({fatal.partition(': ')[2]})"
            if is_fatal and not is_late
            else "it held up the loop until the node was taken for dead"
        ),
        trace=_shown(threads, header, plugin),
    )


def stacks(text: str) -> Iterator[Thread]:
    """Yield the stack of each thread that `faulthandler` wrote down. Pure."""
    number, is_current, begun = 0, False, False
    frames: list[tuple[str, str]] = []
    for line in text.splitlines():
        if head := _THREAD.match(line):
            if begun:
                yield Thread(number=number, is_current=is_current, frames=tuple(frames))
            number, is_current = int(head["id"], 16), head["current"] == "Current thread"
            frames, begun = [], True
        elif frame := _FRAME.match(line):
            frames.append((frame["file"], line.strip()))
    if begun:
        yield Thread(number=number, is_current=is_current, frames=tuple(frames))


def _at_work(threads: Sequence[Thread], header: Header, *, is_fatal: bool) -> str | None:
    """Return the plugin on the stack that counts.

    A crash is the current thread's. A hang is the loop's; only if the loop itself waits for
    nothing but its turn, somebody else keeps Python's lock from it.
    """
    if is_fatal:
        current = [thread for thread in threads if thread.is_current]
        if found := _first(current, header.folders):
            return found
    loops = [thread for thread in threads if thread.number == header.thread]
    if found := _first(loops, header.folders):
        return found
    is_idle = any(t.frames and t.frames[0][0].endswith(_WAITING) for t in loops)
    others = [thread for thread in threads if thread.number != header.thread]
    return _first(others, header.folders) if is_idle and not is_fatal else None


def _first(threads: Sequence[Thread], folders: Mapping[str, str]) -> str | None:
    for thread in threads:
        for file, _ in thread.frames:
            for folder, plugin in folders.items():
                if f"/{folder}/" in file:
                    return plugin
    return None


def _shown(threads: Sequence[Thread], header: Header, plugin: str) -> str:
    """Return the stack that the plugin is on, innermost last."""
    own = {folder: name for folder, name in header.folders.items() if name == plugin}
    for thread in threads:
        if _first([thread], own):
            return "\n".join(line for _, line in reversed(thread.frames[:40]))
    return ""


def _tell(plugin: str, limit_s: float) -> None:
    line = f"mnedge: plugin {plugin} does not come back, for {limit_s:.0f} s; this process ends. "
    with suppress(OSError):
        os.write(2, f"{line}The next one quarantines it.\n".encode())
