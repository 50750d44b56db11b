"""`mnedge` as a program of its own, in a data directory of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mnedge.config.read import read_config
from mnedge.config.settings import Config

MNEDGE = [sys.executable, "-m", "mnedge"]
REPOSITORY = Path(__file__).resolve().parent.parent.parent


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which `python3` is a real interpreter and no launcher of one."""
    interpreter = str(Path(sys.base_prefix) / "bin")
    paths = f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'plugins'}"
    return {
        "PATH": f"{interpreter}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "MN_HOME": str(folder),
        "PYTHONPATH": paths,
        **more,
    }


def config_of(environ: Mapping[str, str]) -> Config:
    """Return what a program with this environment is told."""
    return read_config(environ)


class Running:
    """A program that said it is ready, and how long that took."""

    def __init__(self, process: "subprocess.Popen[bytes]", began: float, said: bytes) -> None:
        self.pid = process.pid
        self.began = began
        self.ready_s = time.perf_counter() - began
        self.said = said
        self._process = process

    def kill(self) -> None:
        """Let it die without a word."""
        self._process.kill()

    def wait(self) -> int:
        """Return its exit code."""
        return self._process.wait(timeout=30)


@contextmanager
def program(arguments: Sequence[str], environ: Mapping[str, str]) -> Iterator[Running]:
    """Have a program running that writes a line to stderr when it is ready; end it afterwards.

    Raises: RuntimeError with what it said if it ends before.
    """
    began = time.perf_counter()
    process = subprocess.Popen(arguments, env=dict(environ), stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        if b"ready" not in said:
            process.kill()
            raise RuntimeError((said + process.stderr.read()).decode(errors="replace"))
        yield Running(process, began, said)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        assert process.stderr is not None
        process.stderr.close()


@contextmanager
def daemon(environ: Mapping[str, str]) -> Iterator[Running]:
    """Have `mnedge daemon` running and ready."""
    with program([*MNEDGE, "daemon"], environ) as started:
        yield started


@contextmanager
def letters(folder: Path) -> Iterator["Letters"]:
    """Have a named pipe that other processes write lines to."""
    path = folder / "letters"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield Letters(path, fd)
    finally:
        os.close(fd)
        path.unlink()


class Letters:
    """Lines from other processes, with the moment each came."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self._rest = b""

    def read(self) -> list[str]:
        """Return the whole lines that have come; empty if there are none."""
        with suppress(BlockingIOError):
            while content := os.read(self.fd, 65536):
                self._rest += content
        *lines, self._rest = self._rest.split(b"\n")
        return [line.decode() for line in lines]
