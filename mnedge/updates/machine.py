"""What an update needs of the machine: programs tried, the service stopped, started, asked."""

import os
import pwd
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from mnedge import systemd
from mnedge.boot import boot_id
from mnedge.config.layout import UNIT, UPDATE_UNIT, Layout
from mnedge.errors import UnavailableError
from mnedge.node_socket import health_of
from mnedge.systemd import ServiceError, systemctl
from mnedge.updates.offer import Build
from mnedge.updates.proof import Seen
from mnedge.updates.releases import runs_from

ASKED_S = 30.0
TRIED_S = 300.0
"""The slowest box with the slowest disk is through its self-test by then."""
STOPPED_S = 180.0
"""Work in flight has `daemon.grace`, and the service manager ends it thereafter."""
LOOK_S = 0.2
SAID_CHARS = 2000
NOBODY = 65534


class ProgramBadError(UnavailableError):
    """The new program does not work on this machine."""

    code = "update.program_bad"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="nothing was switched; ask its publisher, or take another")


class Machine(Protocol):
    """The machine below an update."""

    def boot_id(self) -> str:
        """Return what names this start of the machine."""
        ...

    def unpack(self, program: Path) -> str:
        """Let the one file lay itself out; return the version that it tells."""
        ...

    def described(self, program: Path) -> Build:
        """Return what a program says of itself, asked without rights."""
        ...

    def try_out(self, program: Path) -> None:
        """Run its self-test, without rights. Raises: ProgramBadError."""
        ...

    def runs(self, socket: str) -> bool:
        """Tell whether the node runs, or is meant to."""
        ...

    def stop(self, socket: str) -> None:
        """Return once the node has ended."""
        ...

    def start(self) -> None:
        """Let the node be started; it need not be up."""
        ...

    def seen(self, socket: str) -> Seen:
        """Return how the node is just now."""
        ...

    def wait(self, seconds: float = LOOK_S) -> None:
        """Return so much later."""
        ...

    def now(self) -> float:
        """Return the date."""
        ...


class ThisMachine:
    """The machine that we run on, under systemd or any other supervisor.

    `data_dir`: new programs are tried with the rights of its owner; None: with ours.
    """

    def __init__(self, layout: Layout, *, now: float, data_dir: Path | None) -> None:
        self._layout = layout
        self._began = (now, time.monotonic())
        self._data_dir = data_dir

    @property
    def systemd(self) -> bool:
        """Tell whether systemd runs our unit."""
        return (
            systemd.runs() and shutil.which("systemctl") is not None and self._layout.unit.exists()
        )

    def now(self) -> float:
        """Return the date."""
        date, began = self._began
        return date + time.monotonic() - began

    def boot_id(self) -> str:
        """Return what names this start of the machine."""
        return boot_id()

    def wait(self, seconds: float = LOOK_S) -> None:
        """Return so much later: nothing else goes on in this process."""
        select.select([], [], [], seconds)

    # Programs.

    def unpack(self, program: Path) -> str:
        """Let the one file lay itself out, as us: the service itself never writes programs."""
        return self._said(program, "--version", within_s=TRIED_S, as_us=True).rpartition(" ")[2]

    def described(self, program: Path) -> Build:
        """Return what a program says of itself, asked without rights.

        Raises: ProgramBadError.
        """
        said = self._said(program, "update", "--describe", within_s=ASKED_S)
        try:
            return msgspec.json.decode(said, type=Build)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ProgramBadError(f"{program} does not say what it is: {error}") from error

    def try_out(self, program: Path) -> None:
        """Run its self-test, without rights.

        Raises: ProgramBadError.
        """
        self._said(program, "selftest", within_s=TRIED_S)

    def _said(self, program: Path, *words: str, within_s: float, as_us: bool = False) -> str:
        uid: int | None = None
        gid: int | None = None
        if self._data_dir is not None and not as_us and os.geteuid() == 0:
            uid, gid = _nobody(self._data_dir)
        home = tempfile.mkdtemp(prefix="mnedge-try-")
        try:
            if uid is not None and gid is not None:
                os.chown(home, uid, gid)
            environ = {
                "PATH": os.environ.get("PATH", os.defpath),
                "LANG": "C.UTF-8",
                "HOME": home,
                "TMPDIR": home,
                **self._places(),
            }
            code, said, complaints = _run(
                [str(program), *words], home, environ, (uid, gid), within_s
            )
        except subprocess.TimeoutExpired as error:
            told = f"{program.name} {' '.join(words)}"
            raise ProgramBadError(f"{told} did not end within {within_s:g} s") from error
        except OSError as error:
            raise ProgramBadError(f"{program} does not start: {error.strerror}") from error
        finally:
            shutil.rmtree(home, ignore_errors=True)
        if code != 0:
            raise ProgramBadError(
                f"`mnedge {' '.join(words)}` of the new program ended with {code}"
                + (f": {told[-SAID_CHARS:]}" if (told := f"{said} {complaints}".strip()) else "")
            )
        return said

    def _places(self) -> dict[str, str]:
        """Return what tells a one file where to unpack itself: where it will be found later."""
        if self._data_dir is not None:
            return {"MNEDGE_RUNTIME_DIR": str(self._layout.runtime)}
        names = ("HOME", "XDG_CACHE_HOME", "MNEDGE_RUNTIME_DIR")
        return {name: os.environ[name] for name in names if os.environ.get(name)}

    # The service.

    def runs(self, socket: str) -> bool:
        """Tell whether the node runs, or is meant to."""
        if self.systemd:
            state = systemd.properties(UNIT, "ActiveState")["ActiveState"]
            return state in ("active", "activating", "reloading")
        return health_of(Path(socket)) is not None

    def stop(self, socket: str) -> None:
        """Return once the node has ended.

        Raises: ServiceError.
        """
        if self.systemd:
            systemctl("stop", UNIT, within_s=STOPPED_S)
            return
        health = health_of(Path(socket))
        if health is not None:
            _end(health.pid)

    def start(self) -> None:
        """Let the node be started: by systemd; any other supervisor does it by itself.

        Raises: ServiceError.
        """
        if self.systemd:
            with suppress(ServiceError):
                systemctl("reset-failed", UNIT)
            systemctl("start", "--no-block", UNIT)

    def seen(self, socket: str) -> Seen:
        """Return how the node is just now."""
        at = time.monotonic()
        restarts, failed, main = 0, False, None
        if self.systemd:
            with suppress(ServiceError):
                unit = systemd.properties(UNIT, "ActiveState", "NRestarts", "MainPID")
                restarts = int(unit["NRestarts"]) if unit["NRestarts"].isdecimal() else 0
                failed = unit["ActiveState"] == "failed"
                main = unit["MainPID"]
        health = health_of(Path(socket))
        if health is None or main not in (None, str(health.pid)):
            # Whoever sits at the socket and is not the service has no say: a worker could.
            return Seen(at=at, restarts=restarts, failed=failed)
        return Seen(
            at=at,
            version=str(health.said.get("version", "")),
            status=str(health.said.get("status", "")),
            key=runs_from(Path(f"/proc/{health.pid}"), self._layout.runtime),
            restarts=restarts,
            failed=failed,
        )

    def hand_over(self) -> bool:
        """Let the service manager carry the trial on; False if it has no unit for that."""
        if not self.systemd or not self._layout.update_unit.exists():
            return False
        with suppress(ServiceError):
            systemctl("reset-failed", UPDATE_UNIT)
        systemctl("start", "--no-block", UPDATE_UNIT)
        return True

    def carries(self) -> bool:
        """Tell whether the service manager is about it still."""
        state = systemd.properties(UPDATE_UNIT, "ActiveState")["ActiveState"]
        return state in ("active", "activating", "reloading", "deactivating")


def _end(pid: int) -> None:
    """End a process, held by what never becomes another one; whether anybody reaps it is the same.

    Raises: ServiceError.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError as error:  # 0: it lives where we see no processes
        raise ServiceError(f"the node's process cannot be seen from here: {error}") from error
    try:
        for number, within_s in ((signal.SIGTERM, STOPPED_S), (signal.SIGKILL, ASKED_S)):
            signal.pidfd_send_signal(process, number)
            if select.select([process], [], [], within_s)[0]:
                return
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise ServiceError(f"process {pid} cannot be ended by us") from error
    finally:
        os.close(process)
    raise ServiceError(f"process {pid} does not end")


def _run(
    words: Sequence[str],
    home: str,
    environ: Mapping[str, str],
    ids: tuple[int | None, int | None],
    within_s: float,
) -> tuple[int, str, str]:
    """Run a program in a group of its own, of which nothing is left afterwards."""
    user, group = ids
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=home,
        env=environ,
        user=user,
        group=group,
        extra_groups=None if user is None else [],
        process_group=0,
    ) as process:
        try:
            said, complaints = process.communicate(timeout=within_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said.strip(), complaints.strip()


def _nobody(data_dir: Path) -> tuple[int, int]:
    """Return whose rights a program is tried with: the service's, else nobody's."""
    with suppress(OSError, KeyError):
        told = data_dir.stat()
        if told.st_uid != 0:
            return told.st_uid, pwd.getpwuid(told.st_uid).pw_gid
    return NOBODY, NOBODY
