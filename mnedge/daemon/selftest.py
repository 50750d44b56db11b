"""Prove that this very program works on this machine: a durable job, a crash, a recovery.

All of it happens in a temporary folder, with a daemon of its own that nobody else can reach.
"""

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from types import MappingProxyType

import msgspec
import trio
from msgspec import Struct

from mnedge import shipped
from mnedge.bundle import catalogue
from mnedge.bundle.load import open_bundle
from mnedge.config.read import Flags, load_config
from mnedge.config.settings import Config
from mnedge.daemon import selftest_job as job
from mnedge.daemon import selftest_parts as parts
from mnedge.daemon.app import runners_of
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.store import opened_store
from mnedge.execution.processes import Processes, ProcessTree
from mnedge.execution.procfs import running_tokens
from mnedge.hot import native
from mnedge.model.codec import decode_fact
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.runtime import jobs
from mnedge.runtime.submission import submit
from mnedge.store.runs.readers import read_events
from mnedge.store.sqlite import SqliteStore

WITHIN_S = 60.0
"""How long one check may take before it has failed; a good machine needs a second for the longest.
"""
LOOK_S = 0.02
SAID_CHARS = 2000
_NOT_INHERITED = ("MNEDGE_", "MN_", "MIRROR_NEURON_", "NOTIFY_SOCKET", "WATCHDOG_")
"""Settings of a node of this machine are none of the self-test's."""
_ASK = "import json, sqlite3, ssl, sys; print('Python %d.%d.%d' % sys.version_info[:3])"


class Check(Struct, frozen=True, kw_only=True):
    """One thing that was tried."""

    name: str
    ok: bool
    took_s: float
    found: str
    """What was seen, or what is wrong."""


class _FailedError(Exception):
    """A check found something wrong; those that build on it cannot be tried."""


Tell = Callable[[Check], None]
Look = Callable[[], Awaitable[str]]
"""Returns what was seen; raises if something is wrong."""


async def selftest(
    tell: Tell, environ: Mapping[str, str], more: Mapping[str, Look] = MappingProxyType({})
) -> list[Check]:
    """Try everything, and `tell` of each check when it is done; return all of them.

    `more`: what the caller looks at besides; raises if something is wrong.
    Nothing is left behind, also if it is told to end. After a failure of the daemon or its job,
    what builds on it is left out.
    Raises: KeyboardInterrupt if SIGTERM or SIGHUP came.
    """
    checks: list[Check] = []
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_heed, signals, nursery.cancel_scope)
            await _tried(checks, tell, environ, more)
            nursery.cancel_scope.cancel()
            return checks
    raise KeyboardInterrupt


async def _heed(signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
    async for _ in signals:
        everything.cancel()


async def _tried(
    checks: list[Check], tell: Tell, environ: Mapping[str, str], more: Mapping[str, Look]
) -> None:

    async def check(name: str, work: Look) -> bool:
        began = trio.current_time()
        ok, found = True, ""
        try:
            with trio.fail_after(WITHIN_S):
                found = await work()
        except trio.TooSlowError:
            ok, found = False, f"not done within {WITHIN_S:g} s"
        except Exception as raised:  # whatever goes wrong is what is looked for
            error = _sole(raised)
            known = isinstance(error, _FailedError)
            ok, found = False, str(error) if known else f"{type(error).__name__}: {error}"
        done = Check(name=name, ok=ok, took_s=trio.current_time() - began, found=found)
        checks.append(done)
        tell(done)
        return ok

    for name, work in (_LOOKS | dict(more)).items():
        await check(name, work)
    with tempfile.TemporaryDirectory(
        prefix="mnedge-selftest-", ignore_cleanup_errors=True
    ) as place:
        trial = _Trial(Path(place), environ)
        try:
            for step, work in trial.steps.items():
                if not await check(step, work):
                    break
        finally:
            await trial.close()
    await check("nothing left behind", lambda: _nothing_left(Path(place)))


async def _program() -> str:
    return parts.described()


async def _modules() -> str:
    names = parts.all_modules()
    if len(names) < parts.LEAST_MODULES:
        raise _FailedError(f"only {len(names)} modules can be seen")
    _none_wrong(parts.unimportable(names))
    others = parts.libraries()
    _none_wrong([*parts.unimportable(others), *parts.broken_libraries()])
    return f"{len(names)} modules and {len(others)} libraries can be imported"


async def _files() -> str:
    from mnedge.gateway import manual
    from mnedge.gateway.console.rendering import HERE

    _none_wrong(parts.unreadable_files())
    blueprints = len(catalogue.listed({}))
    pages = len(manual.pages())
    templates = len(list((HERE / "templates").glob("*.html")))
    if not (blueprints and pages and templates):
        raise _FailedError(f"{blueprints} blueprints, {pages} pages, {templates} templates")
    return f"{blueprints} blueprints, {pages} pages of the manual, {templates} templates"


async def _native() -> str:
    present, why = native.available()
    if not present and shipped.frozen():
        raise _FailedError(why)
    return "compiled" if present else f"in plain Python: {why}"


async def _interpreter() -> str:
    path = shipped.python()
    if path is None:
        raise _FailedError("no interpreter came with the program")
    done = await trio.run_process(
        [path, "-c", _ASK], capture_stdout=True, capture_stderr=True, check=False
    )
    if done.returncode != 0:
        raise _FailedError(f"{path} ended with {done.returncode}: {_text(done.stderr)}")
    return f"{_text(done.stdout)}, {path}"


_LOOKS: dict[str, Look] = {
    "program": _program,
    "modules": _modules,
    "files": _files,
    "spawn helper": _native,
    "Python for payloads": _interpreter,
}


class _Trial:
    """One job in a folder of its own, whose daemon is killed once."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = {
            **{k: v for k, v in environ.items() if not k.startswith(_NOT_INHERITED)},
            "MN_HOME": str(folder / "home"),
            "TMPDIR": str(folder),
        }
        self._daemon: ProcessTree | None = None
        self._effects = folder / job.EFFECTS
        # Unlike any other on this machine: a node kills what runs under its job's name.
        self._job_id = f"{job.NAME}-{token_hex(6)}"
        self.steps: dict[str, Look] = {
            "daemon starts": self._starts,
            "job is cut by kill -9": self._cut,
            "daemon starts again": self._starts,
            "job completes": self._completes,
            "daemon stops": self._stops,
            "effects are the journal's": self._effects_agree,
            "events without a gap": self._events_agree,
        }

    async def close(self) -> None:
        """End what still runs."""
        if self._daemon is not None:
            await self._daemon.end()
            self._daemon = None

    async def _starts(self) -> str:
        file = self._folder / "config.yaml"
        file.touch()
        with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as heard:
            name = f"mnedge-{self._folder.name}"  # abstract: a path may be too long for a socket
            await heard.bind(f"\0{name}")
            self._daemon = self._spawner.start(
                [*shipped.program(), "daemon", "--config", str(file)],
                token=_token(),
                environment=self._environ | {"NOTIFY_SOCKET": f"@{name}"},
                directory=str(self._folder),
            )
            async with _watched(self._daemon):
                while "READY=1" not in (await heard.recv(4096)).decode().split("\n"):
                    pass
        return f"process {self._daemon.pid} is ready"

    async def _cut(self) -> str:
        for name, content in job.files(str(self._effects)).items():
            file = self._folder / "bundle" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
            file.write_text(text, encoding="utf-8")
        config = self._config
        with open_bundle(self._folder / "bundle") as bundle:
            async with opened_store(config) as store:
                await submit(
                    store,
                    config,
                    bundle,
                    runners=runners_of(config, self._spawner),
                    now=wall_clock,
                    job_id=self._job_id,
                )
                async with _watched(self._running):
                    while not job.is_held(self._seen()):
                        await self._still_runs(store)
                        await trio.sleep(LOOK_S)
        killed = self._running
        os.kill(killed.pid, signal.SIGKILL)
        await killed.exited()
        await _workers_gone(self._job_id)
        await self.close()
        return f"killed process {killed.pid} while {job.HELD} ran; its worker went with it"

    async def _completes(self) -> str:
        async with opened_store(self._config) as store, _watched(self._running):
            record = await jobs.read_job(store, self._job_id)
            while record.status not in TERMINAL:
                await trio.sleep(LOOK_S)
                record = await jobs.read_job(store, self._job_id)
        if record.status is not JobStatus.COMPLETED:
            raise _FailedError(f"the job ended {record.status.value}: {record.error}")
        return f"{len(job.WORKERS)} workers, {job.HELD} launched twice"

    async def _stops(self) -> str:
        stopping = self._running
        os.kill(stopping.pid, signal.SIGTERM)
        await stopping.exited()
        said = _drained(stopping)
        ended = await stopping.end()
        self._daemon = None
        if ended.code != 0:
            raise _FailedError(f"the daemon ended with {ended.code}: {said}")
        return "exit code 0"

    async def _effects_agree(self) -> str:
        async with opened_store(self._config) as store:
            facts = [decode_fact(held) for _, held in await store.journal.read(self._job_id)]
        effects = self._seen().splitlines()
        _none_wrong(job.wrong_effects(self._job_id, facts, effects))
        return f"{len(facts)} facts, {len(effects)} effects"

    async def _events_agree(self) -> str:
        events = read_events(self._config.runs_root / self._job_id)
        numbers = [event["seq"] for event in events if "seq" in event]
        _none_wrong(job.gaps(numbers))
        return f"{len(numbers)} events"

    @cached_property
    def _spawner(self) -> Processes:
        return Processes()

    @property
    def _config(self) -> Config:
        file = str(self._folder / "config.yaml")
        return load_config(self._environ, Flags(file=file)).config

    @property
    def _running(self) -> ProcessTree:
        if self._daemon is None:
            raise _FailedError("no daemon runs")
        return self._daemon

    async def _still_runs(self, store: SqliteStore) -> None:
        record = await jobs.read_job(store, self._job_id)
        if record.status in TERMINAL:
            raise _FailedError(f"the job ended {record.status.value} too early: {record.error}")

    def _seen(self) -> str:
        return self._effects.read_text() if self._effects.exists() else ""


@asynccontextmanager
async def _watched(daemon: ProcessTree) -> AsyncIterator[None]:
    """Give up what is waited for as soon as the daemon has ended."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ends, daemon, nursery.cancel_scope)
        yield
        nursery.cancel_scope.cancel()
        return
    raise _FailedError(f"the daemon ended: {_drained(daemon)}")


async def _ends(daemon: ProcessTree, waiting: trio.CancelScope) -> None:
    await daemon.exited()
    waiting.cancel()


def _drained(daemon: ProcessTree) -> str:
    """Return the end of what it wrote."""
    pieces = []
    for fd in (daemon.stdout, daemon.stderr):
        try:
            while piece := os.read(fd, 1 << 16):
                pieces.append(piece)
        except BlockingIOError:
            pass
    return _text(b"".join(pieces)[-SAID_CHARS:])


async def _workers_gone(job_id: str) -> None:
    while True:
        if not any(token.startswith(f"{job_id}/") for _, token in running_tokens()):
            return
        await trio.sleep(LOOK_S)


async def _nothing_left(folder: Path) -> str:
    if folder.exists():
        raise _FailedError(f"{folder} is still there")
    if left := [pid for pid, token in running_tokens() if token == _token()]:
        raise _FailedError(f"processes still run: {left}")
    return "no file, no process"


def _token() -> str:
    return f"{job.NAME}-{os.getpid()}"


def _sole(error: Exception) -> BaseException:
    """Return what a group of one holds."""
    found: BaseException = error
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found


def _none_wrong(wrong: list[str]) -> None:
    if wrong:
        raise _FailedError("; ".join(wrong))


def _text(said: bytes) -> str:
    return said.decode(errors="replace").strip()
