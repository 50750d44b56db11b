"""Has a plugin met by a process of its own first, which may hang, crash or lie.

The whole tree of that process is gone when this returns, as far as it can be found: its group, and
whatever carries its token.
"""

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct

from mnedge.plugins.asking import READY, Report, Request, Trouble, most_bytes
from mnedge.plugins.suspicion import stacks

PROBE_S = 5.0
"""How long importing and asking may take."""
START_S = 30.0
"""How long our own program may take until it can begin with that."""
MARK = "MNEDGE_PROBE"
MOST_SAID = 16 << 10
MOST_REPORT = 1 << 20


class Probing(Struct, frozen=True, kw_only=True):
    """How processes that probe are started."""

    program: tuple[str, ...]
    """Starts this very mnedge."""
    limit_s: float = PROBE_S
    user: tuple[int, int] | None = None
    """Whom the process runs as, if not as we do."""


class _Heard:
    """What came from the process."""

    def __init__(self) -> None:
        self.report = b""
        self.said = b""
        self.is_greedy = False

    @property
    def is_ready(self) -> bool:
        return self.report.startswith(READY)

    @property
    def answer(self) -> bytes:
        """The report, once it is whole."""
        rest = self.report.removeprefix(READY)
        return rest.partition(b"\n")[0] if self.is_ready and b"\n" in rest else b""


def probe(request: Request, probing: Probing) -> Report:
    """Return what the process found; how it ended, if it found nothing.

    Raises: OSError if our own program cannot be started.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mnedge-probe-") as scratch:
        if probing.user is not None:
            os.chown(scratch, *probing.user)
        asked = msgspec.structs.replace(request, scratch=scratch, limit_s=probing.limit_s)
        heard, code = _asked(asked, probing)
    took_s = round(time.monotonic() - began, 3)
    if heard.answer:
        with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
            return msgspec.json.decode(heard.answer, type=Report)
    return Report(trouble=_trouble(heard, code, probing.limit_s), took_s=took_s)


def _asked(request: Request, probing: Probing) -> tuple[_Heard, int | None]:
    token = os.urandom(8).hex()
    ours, theirs = os.pipe()
    heard = _Heard()
    try:
        with tempfile.TemporaryFile() as given:
            given.write(msgspec.json.encode(request))
            given.seek(0)
            user, group = probing.user or (None, None)
            process = subprocess.Popen(
                [*probing.program, "plugin", "probe", str(theirs)],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, MARK: token},
                cwd=request.scratch,
                pass_fds=(theirs,),
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
            )
        os.close(theirs)
        theirs = -1
        try:
            code = _listen(process, ours, heard, probing.limit_s)
        finally:
            _end(process, token)
        return heard, code
    finally:
        os.close(ours)
        if theirs != -1:
            os.close(theirs)


def _listen(
    process: subprocess.Popen[bytes], pipe: int, heard: _Heard, limit_s: float
) -> int | None:
    """Return the exit code once it answered or ended; None if it was too late for either."""
    assert process.stdout is not None  # noqa: S101  # it was asked for
    deadline = time.monotonic() + START_S
    was_ready = False
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ, "report")
        selector.register(process.stdout, selectors.EVENT_READ, "said")
        while time.monotonic() < deadline:
            code = process.poll()
            for key, _ in selector.select(0 if code is not None else 0.05):
                piece = os.read(key.fd, 65536)
                if not piece:
                    selector.unregister(key.fileobj)
                elif key.data == "report":
                    heard.report = (heard.report + piece)[:MOST_REPORT]
                else:
                    heard.said = (heard.said + piece)[-MOST_SAID:]
            if heard.answer or code is not None:
                return code
            if resident_bytes(process.pid) > most_bytes():
                heard.is_greedy = True
                return None
            if heard.is_ready and not was_ready:
                was_ready, deadline = True, time.monotonic() + limit_s
    return None


def _trouble(heard: _Heard, code: int | None, limit_s: float) -> Trouble:
    """Return what the way it ended says."""
    text = heard.said.decode("utf-8", "replace")
    trace = (
        "\n".join(line for thread in stacks(text) for _, line in reversed(thread.frames[:20]))[
            -2000:
        ]
        or text[-1000:].strip()
    )
    if not heard.is_ready:
        how = "did not begin" if code is None else f"ended with {code} before it began"
        return Trouble(stage="probe", message=f"the probe process {how}", trace=text[-1000:])
    if heard.answer:
        message = "it answers in the place of the probe, and that cannot be read"
    elif heard.is_greedy:
        message = f"it takes more than {most_bytes() >> 20} MiB of memory"
    elif code is None or "Timeout (" in text:
        message = f"it hangs: it did not come back within {limit_s:.0f} s"
    elif code < 0:
        name = signal.Signals(-code).name if -code in {*signal.Signals} else str(-code)
        message = f"it crashes the process: {name}"
    else:
        message = f"it ends the process, with exit code {code}"
    return Trouble(stage="probe", message=message, trace=trace)


def resident_bytes(pid: int) -> int:
    """Return how much memory a process holds; 0 if it is gone. Limits of its own it may not set:
    a service manager can forbid that."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _end(process: subprocess.Popen[bytes], token: str) -> None:
    """Kill the process, its group, and whoever inherited its token."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    for _ in range(3):  # who forks faster than that is beyond us
        killed = [pid for pid in _pids() if _killed(pid, token)]
        if not killed:
            return


def _pids() -> Sequence[int]:
    with suppress(OSError):
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return []


def _killed(pid: int, token: str) -> bool:
    with suppress(OSError):
        with open(f"/proc/{pid}/environ", "rb") as file:
            if f"{MARK}={token}".encode() not in file.read().split(b"\0"):
                return False
        os.kill(pid, signal.SIGKILL)
        return True
    return False
