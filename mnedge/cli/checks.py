"""What `doctor` looks at: one function per group, each giving findings and raising nothing."""

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import trio

import mnedge
from mnedge import shipped
from mnedge.cli.failure import failure_of
from mnedge.cli.recover import orphans
from mnedge.cli.show import counted
from mnedge.cli.verdict import Finding, absent, broken, ok, warning
from mnedge.config.settings import Config
from mnedge.daemon.app import inventory_of, runners_of
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.outside import plugins_of, terms_of
from mnedge.daemon.store import DAEMON, opened_store
from mnedge.errors import MnedgeError
from mnedge.execution.pools import read_capacities
from mnedge.execution.processes import Processes
from mnedge.hot import native
from mnedge.model.amounts import size
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.runtime import jobs
from mnedge.store.claims import process_name

FULL_BYTES = 16 << 20
LOW_BYTES = 256 << 20
OLDEST_YEAR = 2024
FEW_FILES = 1024
ANSWER_S = 10
PYTHONS = ("python3", "python3.11", "python3.12", "python3.13")
OLDEST_SQLITE = (3, 35, 0)
OLDEST_PYTHON = (3, 11)


async def examine(config: Config) -> list[Finding]:
    """Return everything that was found, the store last looked at first shown."""
    store = await store_findings(config)
    interpreters = await trio.to_thread.run_sync(lambda: list(interpreter_findings()))
    return [
        *program_findings(),
        *folder_findings(config),
        *store,
        *clock_findings(wall_clock()),
        *interpreters,
        *runner_findings(config),
        *plugin_findings(config),
        *await device_findings(config),
        *neighbour_findings(),
    ]


def program_findings() -> Iterator[Finding]:
    """Look at mnedge itself and what it runs on."""
    frozen = ", frozen" if shipped.frozen() else ""
    yield ok("mnedge", "version", f"{mnedge.__version__}{frozen}")
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        yield broken("mnedge", "python", python, "use Python 3.11 or newer")
    else:
        yield ok("mnedge", "python", python)
    compiled, why = native.available()
    if compiled:
        yield ok("mnedge", "native helper", "compiled")
    else:
        yield Finding(
            group="mnedge",
            name="native helper",
            status="absent",
            found=f"the plain Python twin takes over ({why})",
            mend="install it with a C compiler and Python's headers present: spawning gets faster",
        )
    files = _open_files_limit()
    if files is not None and files < FEW_FILES:
        yield warning("mnedge", "open files", f"limit {files}", "ulimit -n 4096, or LimitNOFILE=")


def folder_findings(config: Config) -> Iterator[Finding]:
    """Look at the two folders that mnedge writes."""
    for name, folder in (("data directory", config.data_dir), ("run folders", config.runs_root)):
        yield _folder(name, folder)
    crashes = sorted((config.data_dir / "crashes").glob("mnedge-crash-*.txt"))
    if crashes:
        newest = max(crashes, key=lambda file: file.stat().st_mtime)
        yield warning(
            "folders",
            "crash reports",
            f"{counted(len(crashes), 'report')}, the newest is {newest.name}",
            f"send them with a bug report, then delete {newest.parent}",
        )


async def store_findings(config: Config) -> list[Finding]:
    """Open the store, if there is one, and look at its jobs."""
    version = sqlite3.sqlite_version
    found = [ok("store", "sqlite", version)]
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        found = [broken("store", "sqlite", version, "install SQLite 3.35 or newer")]
    if not config.data_dir.is_dir():
        return [*found, absent("store", "database", "none yet; the first job makes it")]
    try:
        async with opened_store(config) as store:
            condition = store.condition
            records = await jobs.list_jobs(store, limit=None)
            unfinished = [record for record in records if record.status not in TERMINAL]
            faulted = [r.job_id for r in unfinished if r.status is JobStatus.FAULTED]
            left = await orphans(store)
            daemon = await store.claims.holder(DAEMON)
    except (MnedgeError, BaseExceptionGroup) as error:
        told = failure_of(error)
        return [*found, broken("store", "database", told.message, told.hint)]
    if condition.name != "ok":
        found.append(broken("store", "disk", condition.message, "free some space, or mend it"))
    found.append(
        ok("store", "database", f"{counted(len(records), 'job')}, {len(unfinished)} unfinished")
    )
    if faulted:
        found.append(
            warning("store", "faulted", " ".join(faulted[:3]), "mnedge job show JOB says why")
        )
    if left:
        found.append(
            warning(
                "store",
                "without owner",
                counted(len(left), "unfinished job"),
                "mnedge job recover --all, or start mnedge daemon",
            )
        )
    if daemon is not None:
        found.append(ok("store", "daemon", process_name(daemon)))
    return found


def clock_findings(now: float) -> Iterator[Finding]:
    """Look at the date: a box without a clock battery wakes up in 1970."""
    at = datetime.fromtimestamp(now, tz=UTC)
    said = at.strftime("%Y-%m-%d %H:%M UTC")
    if at.year < OLDEST_YEAR:
        yield warning("machine", "clock", said, "set the date; jobs run on, calendars do not")
    else:
        yield ok("machine", "clock", said)


def interpreter_findings() -> Iterator[Finding]:
    """Look for what payloads are started with."""
    brought = shipped.bundled_python()
    if brought is not None:
        yield _python("brought along", brought)
    for name in PYTHONS:
        path = shutil.which(name)
        if path is not None:
            yield _python(name, path, stands_in=brought)
        elif name == "python3" and brought is not None:
            yield absent("payloads", name, "not on PATH; the one brought along takes its place")
        elif name == "python3":
            yield warning(
                "payloads", name, "not on PATH", "install Python 3: most payloads need it"
            )
        elif name == "python3.11":
            yield absent("payloads", name, "not on PATH; what stands for python3 takes its place")
    bash = shutil.which("bash")
    if bash is not None:
        yield ok("payloads", "bash", bash)
    else:
        yield warning(
            "payloads", "bash", "not on PATH", "install bash: commands given as text need it"
        )


def runner_findings(config: Config) -> Iterator[Finding]:
    """Look at the slots, and ask each runner whether it can run here."""
    capacities, problems = read_capacities(config.environ)
    slots = ", ".join(f"{pool}={count}" for pool, count in capacities.items())
    if problems:
        yield warning("runners", "slots", slots, "; ".join(problems))
    else:
        yield ok("runners", "slots", slots)
    try:
        runners = runners_of(config, Processes())
    except MnedgeError as error:
        yield broken("runners", "plugins", error.message, error.hint)
        return
    for runner in {runner.name: runner for runner in runners.values()}.values():
        why_not = runner.available()
        if why_not is None:
            yield ok("runners", runner.name, f"available, isolation: {runner.isolation}")
        else:
            yield absent("runners", runner.name, why_not)


async def device_findings(config: Config) -> list[Finding]:
    """Look for devices as a node would, and say what kept probes from it."""
    try:
        inventory = inventory_of(config, plugins_of(config))
    except MnedgeError:
        return []  # runner_findings told of the plugin
    await inventory.known()
    counts = Counter(one.kind for one in inventory.devices)
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    found = [ok("devices", "found", said) if said else absent("devices", "found", "none")]
    ill = [one.id for one in inventory.devices if not one.healthy]
    if ill:
        mend = "let the user of the daemon open their nodes, or plug them in again"
        found.append(warning("devices", "unhealthy", ", ".join(ill[:5]), mend))
    for probe in inventory.probes:
        if probe.problem:
            mend = f"mend the driver, or name {probe.name} in devices.disabled"
            found.append(warning("devices", f"probe {probe.name}", probe.problem, mend))
    mend = "mend the variable, or unset it"
    odd = [warning("devices", "environment", said, mend) for said in inventory.said.problems]
    return [*found, *odd]


def plugin_findings(config: Config) -> Iterator[Finding]:
    """Look at the plugins from outside: who is let in, and who was found bad."""
    try:
        records = terms_of(config).depot.records()
    except MnedgeError as error:
        yield broken("plugins", "depot", error.message, error.hint)
        return
    for record in records:
        state = record.state(config.plugins)
        if record.quarantine is not None:
            mend = f"mnedge plugin show {record.name}, check, or remove"
            found = f"{record.version} is quarantined: {record.quarantine.reason}"
            yield warning("plugins", record.name, found, mend)
        elif state == "on":
            yield ok("plugins", record.name, f"{record.version}, let in")
        elif state == "off":
            yield absent("plugins", record.name, f"{record.version} is off")


def neighbour_findings() -> Iterator[Finding]:
    """Look for programs that are used if they are there."""
    for name, use in (
        ("openshell", "agents that ask for OpenShell run on this machine directly"),
        ("bwrap", "no sandbox"),
        ("redis-server", "one machine alone needs none"),
    ):
        path = shutil.which(name)
        if path is None:
            yield absent("neighbours", name, f"not on PATH: {use}")
        else:
            yield ok("neighbours", name, path)


def _folder(name: str, folder: Path) -> Finding:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return broken("folders", name, f"{existing} is not a folder", "choose another place")
    if not _writable(existing):
        return broken(
            "folders",
            name,
            f"{existing} cannot be written",
            "let this user write there, or choose another place (--data-dir, MN_RUNS_ROOT)",
        )
    free = shutil.disk_usage(existing).free
    found = f"{folder}, {size(free)} free"
    if free < FULL_BYTES:
        return broken("folders", name, found, "make room: new work is refused on a full disk")
    if free < LOW_BYTES:
        return warning("folders", name, found, "make room soon")
    return ok("folders", name, found)


def _writable(folder: Path) -> bool:
    """Try it: root may write anywhere, except where the disk is read-only."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not os.statvfs(folder).f_flag & os.ST_RDONLY


def _python(name: str, path: str, stands_in: str | None = None) -> Finding:
    """Look at an interpreter; `stands_in` is used instead of one that is too old."""
    try:
        answer = subprocess.run(
            [path, "-I", "-c", "import platform; print(platform.python_version())"],
            capture_output=True,
            timeout=ANSWER_S,
            check=True,
            text=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        if name == "python3":
            return warning("payloads", name, f"{path} does not run", "mend it or install another")
        return absent("payloads", name, f"{path} does not run")
    version = tuple(int(part) for part in answer.split(".")[:2] if part.isdecimal())
    found = f"{path}, {answer}"
    if name == "python3" and version < OLDEST_PYTHON and stands_in is not None:
        return absent("payloads", name, f"{found}; for Python 3.11, the one brought along")
    if name == "python3" and version < OLDEST_PYTHON:
        return warning("payloads", name, found, "install Python 3.11: many payloads expect it")
    return ok("payloads", name, found)


def _open_files_limit() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
