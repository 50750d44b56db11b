"""Kill a run at a named place, recover it, and look at what is left.

A `Trial` is one blueprint in a data directory of its own: run with a fault armed, recovered by
another process, compared
with a run that nobody harmed.
"""

import json
import os
import re
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import trio

from mnedge.model.codec import decode_fact
from mnedge.model.facts import AnyFact, AttemptEnded, ModuleAnswered
from mnedge.model.manifest import JobSpec
from mnedge.part import running
from mnedge.store.sqlite import SqliteStore
from tests.live.forge import Forge
from tests.live.ledgers import ledger_of

CHUNKS = 6
INPUTS = {
    "live_telemetry": [
        "--set",
        f"inputs.payload.chunks={CHUNKS}",
        "--set",
        "inputs.payload.interval_ms=10",
    ],
    "prime_range_scan": ["--set", "inputs.payload.width=200"],
}
SERVICES = frozenset({"live_telemetry"})
SNAPSHOT_BYTES = 2048
"""Small, so that small jobs make snapshots and compact too."""
VOLATILE = frozenset(
    {
        "lease",
        "lease_id",
        "remote_dir",
        "sandbox_name",
        "elapsed_s",
        "run_id",
        "generated_at",
        "run_dir",
    }
)


class Trial:
    """One blueprint, one data directory, one fault."""

    def __init__(
        self,
        forge: Forge,
        folder: Path,
        blueprint: str,
        *,
        disk: Path | None = None,
        settings: Sequence[str] | None = None,
    ) -> None:
        place = disk or folder
        self.forge = forge
        self.blueprint = blueprint
        self.settings = INPUTS.get(blueprint, []) if settings is None else settings
        self.folder = folder
        self.data_dir = place / "data"
        self.runs_root = place / "runs"
        self.ends_with = 1 if blueprint in SERVICES else 0  # a service ends cancelled
        self.launch_log = folder / "launches"
        self.said = folder / "said"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MN_HOME": str(folder),
            "MNEDGE_DATA_DIR": str(self.data_dir),
            "MN_RUNS_ROOT": str(self.runs_root),
            "MNEDGE_LAUNCH_LOG": str(self.launch_log),
            "MNEDGE_SNAPSHOT_BYTES": str(SNAPSHOT_BYTES),
            "MN_EXECUTOR_MAX_CONCURRENCY": "8",
        }

    # ---- doing ----

    def run(self, fault: str = "", unsafe: str = "") -> int:
        """Run the blueprint; return the exit code (-9: killed)."""
        return self._wait_or_cancel(self.begin(fault, unsafe))

    def begin(self, fault: str = "", unsafe: str = "") -> int:
        """Start running the blueprint; return the pid."""
        arguments = ["blueprint", "run", self.blueprint, "--quiet", *self.settings]
        return self.start(arguments, MNEDGE_FAULT=fault, MNEDGE_UNSAFE=unsafe)

    def ended(self, pid: int) -> int:
        """Wait for a process; return its exit code."""
        return self.forge.wait(pid)

    def recover(self, fault: str = "") -> int:
        """Let `mnedge job recover --all` finish what is left; return its exit code."""
        arguments = ["job", "recover", "--all", "--quiet"]
        return self._wait_or_cancel(self.start(arguments, MNEDGE_FAULT=fault))

    def serve(self) -> None:
        """Let a daemon finish what is left, and end it."""
        pid = self.start(["daemon"])
        self.until(lambda: "daemon ready" in self.words(), pid)
        self.until(lambda: not self.unfinished() or self._service_done(), pid)
        if self.blueprint in SERVICES:
            self._cancel()
            self.until(lambda: not self.unfinished(), pid)
        os.kill(pid, signal.SIGTERM)
        assert self.forge.wait(pid) == 0, self.words()

    def start(self, arguments: list[str], **environ: str) -> int:
        """Start `mnedge ARGUMENTS`; return the pid."""
        return self.forge.start(
            arguments, environ=self.environ | environ, said=self.said, cwd=self.folder
        )

    def _wait_or_cancel(self, pid: int) -> int:
        if self.blueprint in SERVICES:
            self.until(lambda: (self._service_done() and self._owned()) or not _runs(pid), pid)
            if _runs(pid):
                self._cancel()
        return self.forge.wait(pid)

    def _owned(self) -> bool:
        """Tell whether somebody carries what is unfinished: it is theirs to end it."""
        return trio.run(_all_held, self.data_dir, self.unfinished())

    def _cancel(self) -> None:
        for job_id in self.unfinished():
            self.forge.wait(self.start(["job", "cancel", job_id]))

    def until(self, reached: Callable[[], bool], pid: int, timeout_s: float = 60.0) -> None:
        """Look again and again; kill the process and fail after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not reached():
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                raise AssertionError(f"not reached within {timeout_s} s:\n{self.words()}")
            self.pause(0.02)

    def pause(self, seconds: float) -> None:
        """Let other processes do something."""
        select.select([], [], [], seconds)

    def alive(self, pid: int) -> bool:
        """Tell whether the process runs."""
        return _runs(pid)

    def count_events(self) -> int:
        """Return how many events the run folder shows so far."""
        paths = list(self.runs_root.glob("*/events.jsonl"))
        return paths[0].read_bytes().count(b"\n") if paths else 0

    # ---- looking ----

    def words(self) -> str:
        """Return what the processes said."""
        return self.said.read_text() if self.said.exists() else ""

    def jobs(self) -> list[str]:
        """Return the ids of all jobs that were submitted."""
        return sorted(path.name for path in self.runs_root.glob("*") if path.is_dir())

    def unfinished(self) -> list[str]:
        """Return the ids of pending and running jobs, as the store has them."""
        return trio.run(_unfinished, self.data_dir)

    def events(self) -> list[dict[str, Any]]:
        """Return the run folder's events, every segment."""
        [job_id] = self.jobs()
        lines = (self.runs_root / job_id / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def ledger(self) -> dict[str, Any]:
        """Return how the steps ended, as a SPEC writes it."""
        [job_id] = self.jobs()
        return ledger_of(self.data_dir, job_id)

    def shown(self) -> dict[str, Any]:
        """Return what `mnedge job show` says of the job."""
        [job_id] = self.jobs()
        shown = self.folder / "shown"
        pid = self.forge.start(
            ["job", "show", job_id, "--output", "json"],
            environ=self.environ,
            said=shown,
            cwd=self.folder,
        )
        assert self.forge.wait(pid) == 0, shown.read_text()
        return dict(json.loads(shown.read_text()))

    def records(self) -> list[bytes]:
        """Return what the journal still holds, as it holds it."""
        [job_id] = self.jobs()
        return trio.run(_records, self.data_dir, job_id)

    def facts(self) -> list[AnyFact]:
        """Return what the journal still holds."""
        return [decode_fact(record) for record in self.records()]

    def spec(self) -> JobSpec:
        """Return the job's lowered manifest."""
        [job_id] = self.jobs()
        return trio.run(_spec, self.data_dir, job_id)

    def artifact(self) -> Any:
        """Return the final artifact without what differs from run to run."""
        [job_id] = self.jobs()
        text = (self.runs_root / job_id / "final_artifact.json").read_text()
        return comparable(json.loads(text.replace(job_id, "JOB")))

    def stream_state(self) -> Any:
        """Return the state that the stateful worker of `live_telemetry` ended with."""
        states = [
            fact.outcome.structured.next_state
            for fact in self.facts()
            if isinstance(fact, AttemptEnded)
            and fact.attempt_id.startswith("peak_finder")
            and fact.outcome.structured is not None
        ]
        return states[-1]

    def _service_done(self) -> bool:
        if self.blueprint not in SERVICES:
            return False
        try:
            events = self.events()
        except (ValueError, OSError):
            return False  # no run folder yet, or a line half written
        ended = Counter(
            event.get("agent_id") for event in events if event["type"] == "sandbox_job_completed"
        )
        return ended["peak_finder"] >= CHUNKS

    # ---- judging ----

    def check(self, unharmed: "Trial") -> None:
        """Assert everything that is promised after a crash.

        Raises: AssertionError naming what is broken.
        """
        assert not self.unfinished(), f"unfinished: {self.unfinished()}\n{self.words()}"
        self.check_events()
        if self.blueprint in SERVICES:
            assert self.stream_state() == unharmed.stream_state()
        else:
            assert self.artifact() == unharmed.artifact()
        self.check_launches()
        assert not self.left_behind(), f"processes left behind: {self.left_behind()}"

    def launches(self) -> list[str]:
        """Return what the workers noted: job, attempt and launch of each."""
        return self.launch_log.read_text().split() if self.launch_log.exists() else []

    def launched(self) -> set[str]:
        """Return the agents whose workers noted a launch."""
        return {_token(launch)[1].partition(":")[0] for launch in self.launches()}

    def check_events(self) -> None:
        """The run folder shows every event once, in order."""
        numbers = [event["seq"] for event in self.events() if "seq" in event]
        assert numbers == list(range(1, len(numbers) + 1)), "an event is there twice, or missing"

    def check_launches(self) -> None:
        """No launch happens twice, and none after the attempt's result was journaled."""
        launches = self.launches()
        twice = [launch for launch, times in Counter(launches).items() if times > 1]
        assert not twice, f"launched twice under one number: {twice}"
        journaled = {
            (fact.attempt_id if isinstance(fact, AttemptEnded) else fact.call_id): fact.launch
            for fact in self.facts()
            if isinstance(fact, AttemptEnded | ModuleAnswered)
        }
        for launch in launches:
            _, attempt_id, number = _token(launch)
            if attempt_id in journaled:
                assert number <= journaled[attempt_id], (
                    f"{launch} began after its result was journaled"
                )

    def left_behind(self) -> list[str]:
        """Return processes that still carry a launch token of this trial's jobs."""
        found = []
        for process in psutil.process_iter(["pid"]):
            try:
                token = process.environ().get("MNEDGE_LAUNCH", "")
            except (psutil.Error, OSError):
                continue
            if token.split("/")[0] in self.jobs():
                found.append(f"{process.pid} {token}")
        return found


def _token(launch: str) -> tuple[str, str, int]:
    job_id, _, rest = launch.partition("/")
    attempt_id, _, number = rest.rpartition("/")
    return job_id, attempt_id, int(number)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def comparable(tree: Any) -> Any:
    """Return the tree without volatile members, times and measured numbers."""
    if isinstance(tree, dict):
        return {
            key: comparable(value)
            for key, value in tree.items()
            if key not in VOLATILE and not re.search(r"(_at|_ms|_s)$|^ts$", key)
        }
    if isinstance(tree, list):
        return [comparable(value) for value in tree]
    return tree


async def _unfinished(data_dir: Path) -> list[str]:
    from mnedge.model.states import TERMINAL
    from mnedge.runtime.jobs import list_jobs

    async with running(SqliteStore(data_dir)) as store:
        records = await list_jobs(store, limit=None)
    return [record.job_id for record in records if record.status not in TERMINAL]


async def _all_held(data_dir: Path, job_ids: list[str]) -> bool:
    from mnedge.runtime.jobs import JOBS

    async with running(SqliteStore(data_dir)) as store:
        return all([await store.claims.holder(JOBS + job_id) for job_id in job_ids])


async def _records(data_dir: Path, job_id: str) -> list[bytes]:
    records: list[bytes] = []
    after = 0
    async with running(SqliteStore(data_dir)) as store:
        while batch := await store.journal.read(job_id, after=after):
            records += [content for _, content in batch]
            after = batch[-1][0]
    return records


async def _spec(data_dir: Path, job_id: str) -> JobSpec:
    from mnedge.runtime.jobs import read_spec

    async with running(SqliteStore(data_dir)) as store:
        return await read_spec(store, job_id)
