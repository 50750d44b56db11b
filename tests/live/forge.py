"""Start many `mnedge` processes quickly: one interpreter that has imported everything forks for
each.

Real processes all the same: each child is a fork that runs the command line as its own program
would, may be killed
at any moment, and dies alone.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class Forge:
    """The parent's end: asks for children, waits for them, signals them."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        import subprocess

        self._process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        self._socket = ours
        self._lines = ours.makefile("rw")

    def start(
        self, arguments: Sequence[str], *, environ: Mapping[str, str], said: Path, cwd: Path
    ) -> int:
        """Start `mnedge ARGUMENTS`; its stdout and stderr go to the file `said`. Return its pid."""
        self._tell(
            {"start": list(arguments), "environ": dict(environ), "said": str(said), "cwd": str(cwd)}
        )
        return int(json.loads(self._lines.readline()))

    def wait(self, pid: int, *, timeout_s: float = 60.0) -> int:
        """Return the exit code of a child, negative for a signal.

        Raises: TimeoutError after killing it.
        """
        self._tell({"wait": pid, "timeout_s": timeout_s})
        code = json.loads(self._lines.readline())
        if code is None:
            raise TimeoutError(f"process {pid} still ran after {timeout_s} s")
        return int(code)

    def close(self) -> None:
        """End the interpreter that forks."""
        self._lines.close()
        self._socket.close()
        self._process.wait(timeout=10)

    def _tell(self, request: object) -> None:
        self._lines.write(json.dumps(request) + "\n")
        self._lines.flush()


def _serve(fd: int) -> None:
    import rich.live  # noqa: F401

    import mnedge_runners.host_local  # noqa: F401

    with socket.socket(fileno=fd) as ours, ours.makefile("rw") as lines:
        for line in lines:
            request = json.loads(line)
            if "wait" in request:
                answer = _wait(request["wait"], request["timeout_s"])
            else:
                answer = _fork(request, fd)
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


def _wait(pid: int, timeout_s: float) -> int | None:
    fd = os.pidfd_open(pid)
    import select

    try:
        ready = select.select([fd], [], [], timeout_s)[0]
        if not ready:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(status) if ready else None


def _fork(request: dict, fd: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.close(fd)
        os.setsid()
        os.chdir(request["cwd"])
        said = os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((null, 0), (said, 1), (said, 2)):
            os.dup2(old, new)
        os.environ.clear()
        os.environ.update(request["environ"])
        from mnedge import faults
        from mnedge.cli.main import main

        faults.arm(os.environ.get("MNEDGE_FAULT", ""))
        code = main(request["start"]) or 0
        sys.stdout.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
