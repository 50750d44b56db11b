"""Start a process that leads its own session, dies with its owner, and inherits three streams.

`spawn_native` borrows our memory until the child execs (0.3 ms). `spawn_plain` does the same with
the standard library: it starts a Python that becomes the command (some 20 ms). Both behave alike.

A death signal is sent when the *thread* that started the process ends, so only the main thread may
start one.
"""

import ctypes
import errno
import fcntl
import os
import signal
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mnedge import shipped
from mnedge.errors import UnavailableError
from mnedge.hot import native

Spawn = Callable[
    [str, Sequence[str], Mapping[str, str], str, tuple[int, int, int]],
    int,
]
"""(path, arguments, environment, directory, streams) → process id.

Raises: OSError as `execve` or `chdir` gave it, with the file it is about.
"""

PR_SET_CHILD_SUBREAPER = 36
_DIRECTORY_STAGE = 3
_ERROR_FD = 3
_BECOME = Path(__file__).with_name("become.py")


def spawn_native(
    path: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    directory: str,
    streams: tuple[int, int, int],
) -> int:
    """Start `path` with the compiled helper."""
    _only_from_the_main_thread()
    ffi, lib, _ = native.library()
    stage = ffi.new("int *")
    pid: int = lib.mn_spawn(
        os.fsencode(path),
        _block(arguments),
        len(arguments),
        _block([f"{name}={value}" for name, value in environment.items()]),
        len(environment),
        os.fsencode(directory),
        *streams,
        signal.SIGKILL,
        stage,
    )
    if pid < 0:
        about = directory if stage[0] == _DIRECTORY_STAGE else path
        raise OSError(-pid, os.strerror(-pid), about)
    return pid


def spawn_plain(
    path: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    directory: str,
    streams: tuple[int, int, int],
) -> int:
    """Start `path` with the standard library alone.

    Raises: SpawnUnavailableError if there is no interpreter to start it with.
    """
    _only_from_the_main_thread()
    python = _interpreter()
    _block([*arguments, *environment, *environment.values()])
    answer, error_fd = os.pipe()
    high = [_above(stream) for stream in (*streams, error_fd)]
    os.close(error_fd)
    keep_locale = "keep" if "LC_CTYPE" in environment else "drop"
    call = [python, "-I", "-S", str(_BECOME), str(os.getpid()), keep_locale, directory]
    try:
        pid = os.posix_spawn(
            python,
            [*call, path, *arguments],
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate(high)],
            setsid=True,
            setsigmask=signal.valid_signals(),
            setsigdef=_handled_signals(),
        )
    finally:
        for fd in high:
            os.close(fd)
    with open(answer, "rb") as said:
        failure = said.read().decode()
    if failure:
        os.waitpid(pid, 0)
        number, what = failure.split(" ")
        raise OSError(int(number), os.strerror(int(number)), directory if what == "cd" else path)
    return pid


class SpawnUnavailableError(UnavailableError):
    """Neither the compiled module is here, nor a Python to stand in for it; install it again."""

    code = "spawn.unavailable"


def best_spawn() -> Spawn:
    """Return the compiled helper, or its twin where there is none.

    Raises: SpawnUnavailableError if there is neither.
    """
    present, why = native.available()
    if present:
        return spawn_native
    _interpreter(why)
    return spawn_plain


def become_subreaper() -> bool:
    """Have orphans of our descendants become our children; tell whether the kernel does so."""
    _, lib, why = native.library()
    if not why:
        return bool(lib.mn_become_subreaper() == 0)
    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def find_program(name: str, environment: Mapping[str, str], directory: str) -> str:
    """Return the file that `name` means in that environment and directory.

    Raises: OSError if there is none that may be executed.
    """
    if "/" in name:
        return name
    if "\0" in name:
        raise OSError(errno.EINVAL, "a NUL character in the command")
    denied = False
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory, folder or ".", name)
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode):
            if os.access(path, os.X_OK):
                return path
            denied = True
    number = errno.EACCES if denied else errno.ENOENT
    raise OSError(number, os.strerror(number), name)


def _interpreter(why: str = "the compiled module is not used") -> str:
    python = shipped.python()
    if python is None:
        raise SpawnUnavailableError(
            f"no process can be started: {why}, and no interpreter came with this program",
            hint="install this executable again",
        )
    return python


def _only_from_the_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a process may be started by the main thread only")


def _block(texts: Sequence[str]) -> bytes:
    joined = "\0".join(texts)
    if joined.count("\0") != max(len(texts) - 1, 0):
        raise OSError(errno.EINVAL, "a NUL character in the command or its environment")
    return os.fsencode(joined) + b"\0"


def _above(fd: int) -> int:
    """Return a copy of the descriptor out of the way of those the child gets."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ERROR_FD + 1)


def _handled_signals() -> set[int]:
    always = {signal.SIGPIPE, signal.SIGXFSZ}
    return {
        number
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        if number in always or signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL)
    }
