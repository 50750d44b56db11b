"""A node that the published client finds: a real daemon, and a look into its store from outside."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import trio

from mnedge.config.settings import Config
from mnedge.daemon.store import opened_store
from mnedge.model.manifest import JobSpec
from mnedge.model.records import JobRecord
from mnedge.runtime import jobs
from mnedge.runtime.definitions import Definition, Definitions
from mnedge.store.sqlite import SqliteStore
from tests.interop.mn_client import ROOT, until

COMMAND = [sys.executable, "-m", "mnedge", "daemon"]
NAME = "workbench"
Looked = TypeVar("Looked")


class Node:
    """A daemon in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "mn"
        self.config = Config(
            data_dir=self.home / "mnedge",
            runs_root=self.home / "runs",
            home=self.home,
            environ={},
            node=NAME,
        )
        self.log = folder / "daemon.log"
        self.endpoints: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, grpc: str = "127.0.0.1:0", http: str = "127.0.0.1:0") -> None:
        """Start the daemon; return when it can be reached."""
        self.home.mkdir(parents=True, exist_ok=True)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home.parent),
            "MN_HOME": str(self.home),
            "MNEDGE_NODE": NAME,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "--data-dir", str(self.config.data_dir), "--grpc", grpc, "--http", http],
                stdout=log,
                stderr=log,
                env=environ,
                cwd=self.home.parent,
            )
        self.endpoints = until(self._reachable)

    def _reachable(self) -> dict[str, Any] | None:
        process = self._process
        assert process is not None
        assert process.poll() is None, self.log.read_text()[-4000:]
        try:
            told = json.loads((self.config.data_dir / "endpoints.json").read_bytes())
        except (OSError, ValueError):
            return None
        return dict(told) if told["pid"] == process.pid else None

    @property
    def grpc(self) -> str:
        """Where the client calls."""
        return str(self.endpoints["grpc"])

    @property
    def api(self) -> str:
        """Where REST is."""
        return f"{self.endpoints['http']}/api/v1"

    def kill(self) -> None:
        """End it as a power cut would."""
        self._ended(signal.SIGKILL)

    def stop(self) -> None:
        """End it as systemd would; what the client left about its runs in /tmp goes too."""
        self._ended(signal.SIGTERM)
        for run in self.config.runs_root.iterdir():
            shutil.rmtree(f"/tmp/mn_{run.name}", ignore_errors=True)

    def _ended(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
                raise
        self._process = None

    def look(self, ask: Callable[[SqliteStore], Awaitable[Looked]]) -> Looked:
        """Return what is found in the store, opened by this process beside the daemon's."""

        async def looked() -> Looked:
            async with opened_store(self.config) as store:
                return await ask(store)

        return trio.run(looked)

    def job(self, run_id: str) -> JobRecord:
        """Return a job's record."""
        return self.look(lambda store: jobs.read_job(store, run_id))

    def jobs(self) -> list[JobRecord]:
        """Return the records of all jobs, the newest first."""
        return self.look(lambda store: jobs.list_jobs(store, limit=None))

    def spec(self, run_id: str) -> JobSpec:
        """Return what a job runs on."""
        return self.look(lambda store: jobs.read_spec(store, run_id))

    def definitions(self) -> dict[str, Definition]:
        """Return all definitions by id, archived ones too."""

        async def found(store: SqliteStore) -> list[Definition]:
            known = Definitions(store, lambda: self.config, runners={}, now=lambda: 0.0)
            return await known.every(include_archived=True)

        return {one.definition_id: one for one in self.look(found)}

    def ended(self, run_id: str) -> JobRecord:
        """Wait until the job is over; return its record."""

        def over() -> JobRecord | None:
            record = self.job(run_id)
            return record if record.ended_at is not None else None

        return until(over)
