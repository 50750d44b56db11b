"""The desk of this process: the store is opened here, and owners of jobs are reached through it."""

import getpass
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from mnedge.cli.desk import Answered, Desk, Disposed, Look, Made, Steered, Stream, Take, chosen_file
from mnedge.config.settings import Config
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.store import DAEMON, opened_store
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus, Verb
from mnedge.runtime import answers, jobs
from mnedge.runtime.definitions import Definition, Definitions
from mnedge.runtime.outcome import with_result
from mnedge.runtime.view import job_view
from mnedge.runtime.written import Reader
from mnedge.store.runs.contents import artifact_paths, artifact_records
from mnedge.store.runs.files import read_json
from mnedge.store.runs.readers import Follower, Record, list_runs, read_run
from mnedge.store.sqlite import SqliteStore

LOOK_S = 0.25
PIECE_BYTES = 1 << 18


def who() -> str:
    """Return who asks, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


@asynccontextmanager
async def embedded(config: Config) -> AsyncIterator[Desk]:
    """Have the store of this data directory open."""
    with ExitStack() as files:
        async with opened_store(config) as store:
            yield Embedded(config, store, files)


class _Stream:
    """Records of a job that are read from its folder and its journal."""

    def __init__(
        self, store: SqliteStore, job_id: str, followed: Follower, written: Reader | None
    ) -> None:
        self._store = store
        self._job_id = job_id
        self._followed = followed
        self._written = written

    async def look(self) -> list[Record]:
        """Return what is there and was not told yet, in the order of time."""
        if self._written is None:
            return list(self._followed.look())
        found = list(self._followed.look())
        found += [written.record() for written in await self._written.look()]
        found.sort(key=lambda record: str(record.get("ts") or ""))
        return found

    async def follow(self, take: Take) -> None:
        """Hand over what comes until the job is over."""
        while True:
            over = (await jobs.read_job(self._store, self._job_id)).status in TERMINAL
            if found := await self.look():
                take(found)
            if over:
                return
            await trio.sleep(LOOK_S)


class Embedded:
    """Answers from the store."""

    where = ""

    def __init__(self, config: Config, store: SqliteStore, files: ExitStack) -> None:
        self.config = config
        self.store = store
        self._files = files

    async def find(self, job_id: str) -> JobRecord:
        """Return a job."""
        return await jobs.find_job(self.store, job_id)

    async def jobs(self, statuses: Collection[JobStatus], limit: int | None) -> list[JobRecord]:
        """Return jobs."""
        return await jobs.list_jobs(self.store, limit=limit, statuses=statuses)

    async def look(self, job_id: str) -> Look:
        """Return a job as its journal has it."""
        record = await jobs.find_job(self.store, job_id)
        view = await job_view(self.store, record.job_id)
        return Look(view, await jobs.waiting_asks(self.store, record.job_id))

    async def with_result(self, record: JobRecord) -> JobRecord:
        """Return the record with its result. Raises: ResultGoneError."""
        return with_result(record)

    async def events(self, record: JobRecord, after: int = 0) -> Stream:
        """Open the events of the run folder."""
        followed = self._files.enter_context(Follower(Path(record.run_folder), after=after))
        return _Stream(self.store, record.job_id, followed, None)

    async def logs(self, record: JobRecord) -> Stream:
        """Open the logs of the run folder, and what workers wrote in the journal."""
        spec = await jobs.read_spec(self.store, record.job_id)
        agents = [agent.agent_id for agent in spec.agents]
        written = Reader(self.store, record.job_id, agents)
        followed = self._files.enter_context(Follower(Path(record.run_folder), "logs"))
        return _Stream(self.store, record.job_id, followed, written)

    async def steer(self, job_id: str, verb: Verb, reason: str, wait_s: float) -> Steered:
        """Leave a request for the owner; a job that nobody owns is cancelled here."""
        store = self.store
        record = await jobs.find_job(store, job_id)
        asked = await jobs.ask(store, record.job_id, verb, now=wall_clock, by=who(), reason=reason)
        owned = await self._owned(record.job_id)
        if owned and wait_s > 0:
            return Steered(await jobs.settled(store, asked, timeout_s=wait_s), True, True)
        if not owned and verb is Verb.CANCEL:
            return Steered(await _cancelled_here(self.config, record.job_id), True, False)
        return Steered(record, False, owned)

    async def answer(
        self, job_id: str, decision: str, request_id: str | None, comment: str,
        more: Mapping[str, Any], wait_s: float,
    ) -> Answered:  # fmt: skip
        """Leave an answer for the owner, and see whether it was taken."""
        store = self.store
        record = await jobs.find_job(store, job_id)
        view = await job_view(store, record.job_id)
        request, waiting = await answers.respond(
            store,
            view,
            decision,
            now=wall_clock,
            request_id=request_id,
            by=who(),
            comment=comment,
            more=more,
        )
        owned = await self._owned(record.job_id)
        acted = owned and wait_s > 0
        if acted:
            record = await jobs.settled(store, request, timeout_s=wait_s)
            await answers.refuse_unless_taken(store, request)
        return Answered(record, waiting, request.details, acted, owned)

    async def requests(self, job_id: str | None) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
        """Return what waits for a person."""
        if job_id is not None:
            ids = [(await jobs.find_job(self.store, job_id)).job_id]
        else:
            statuses = {JobStatus.RUNNING, JobStatus.PAUSED}
            every = await jobs.list_jobs(self.store, limit=None, statuses=statuses)
            ids = [record.job_id for record in every]
        views = [(one, await job_view(self.store, one)) for one in ids]
        return [(one, view.human_requests) for one, view in views if view.human_requests]

    async def dispose(self, job_id: str, verb: Verb, message_id: str, wait_s: float) -> Disposed:
        """Leave a request about dead letters, and see what is left of them."""
        store = self.store
        record = await jobs.find_job(store, job_id)
        view = await job_view(store, record.job_id)
        request, letters = await answers.dispose(
            store, view, verb, message_id, now=wall_clock, by=who()
        )
        owned = view.holder is not None
        acted = owned and wait_s > 0
        if acted:
            record = await jobs.settled(store, request, timeout_s=wait_s)
            answers.refuse_letters_left(await job_view(store, record.job_id), letters)
        ids = [str(letter["message_id"]) for letter in letters]
        return Disposed(record.job_id, ids, acted, owned)

    async def retry(self, job_id: str, run_id: str | None) -> Made:
        """Submit the new job."""
        from mnedge.runtime.retrying import retry

        record = await jobs.find_job(self.store, job_id)
        made, kept = await retry(
            self.store,
            self.config,
            record.job_id,
            runners=_runners(self.config),
            connectors=_connectors(self.config),
            now=wall_clock,
            new_id=run_id,
        )
        return Made(made, kept, await self.store.claims.holder(DAEMON))

    async def submit(self, body: Mapping[str, Any]) -> Made:
        """Keep a job of files that were sent; whoever owns jobs next runs it."""
        from mnedge.runtime.received import submit_received

        record = await submit_received(
            self.store,
            self.config,
            dict(body["manifest"]),
            dict(body.get("payloads") or {}),
            runners=_runners(self.config),
            connectors=_connectors(self.config),
            now=wall_clock,
            job_id=body.get("run_id"),
            inputs=body.get("inputs"),
            overrides=body.get("config"),
        )
        return Made(record, [], await self.store.claims.holder(DAEMON))

    async def runs(self, blueprint_id: str | None, limit: int | None) -> list[Record]:
        """Return run folders."""
        return list_runs(self.config.runs_root, blueprint_id=blueprint_id, limit=limit)

    async def run(self, run_id: str) -> dict[str, Any]:
        """Return what a run folder says. Raises: RunNotFoundError."""
        folder = self.config.runs_root / run_id
        names = ("final_artifact", "observability_summary")
        return {
            "run": read_run(folder),
            **{name: read_json(folder / f"{name}.json") for name in names},
        }

    async def artifacts(self, job_id: str) -> tuple[str, list[Record]]:
        """Return the files of the run folder."""
        record = await jobs.find_job(self.store, job_id)
        folder = Path(record.run_folder)
        return record.job_id, artifact_records(folder, changing=frozenset())

    async def fetch(self, job_id: str, path: str, write: Callable[[bytes], object]) -> None:
        """Hand over a file of the run folder. Raises: ArtifactUnknownError."""
        record = await jobs.find_job(self.store, job_id)
        folder = Path(record.run_folder)
        named = chosen_file(record.job_id, path, artifact_paths(folder))
        with open(folder / named, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                write(piece)

    async def definitions(self, include_archived: bool) -> list[Definition]:
        """Return what can be started again."""
        return await self._definitions().every(include_archived=include_archived)

    async def definition(self, definition_id: str) -> Definition:
        """Return one of them."""
        return await self._definitions().get(definition_id)

    async def define(
        self, manifest: dict[str, Any], payloads: Mapping[str, bytes], definition_id: str | None,
        configuration: Mapping[str, Any] | None,
    ) -> Definition:  # fmt: skip
        """Keep a bundle."""
        return await self._definitions().create(
            manifest,
            payloads,
            definition_id=definition_id,
            configuration=configuration,
            by=who(),
        )

    async def start(
        self, definition_id: str, run_id: str | None, inputs: Mapping[str, Any] | None
    ) -> Made:
        """Submit a job of a definition."""
        record = await self._definitions().start_run(definition_id, run_id=run_id, inputs=inputs)
        return Made(record, [], await self.store.claims.holder(DAEMON))

    async def archive(self, definition_id: str) -> Definition:
        """Take no more runs of a definition."""
        return await self._definitions().archive(definition_id)

    async def undefine(self, definition_id: str) -> Definition:
        """Forget a definition."""
        return await self._definitions().delete(definition_id, confirmed=True)

    async def runs_of(self, definition_id: str) -> list[JobRecord]:
        """Return the jobs of a definition."""
        return await self._definitions().runs_of(definition_id)

    async def health(self) -> dict[str, Any]:
        """Return how the disk is; no daemon runs."""
        import mnedge

        condition = self.store.conditions.current
        problems = [{"name": "daemon.none", "message": "no daemon runs here"}]
        if condition.name != "ok":
            problems.append({"name": f"store.{condition.name}", "message": condition.message})
        return {
            "status": "no daemon",
            "component": "mnedge",
            "version": mnedge.__version__,
            "node": self.config.node,
            "problems": problems,
        }

    async def nodes(self) -> list[Record]:
        """Return this machine."""
        from mnedge.gateway import machine
        from mnedge.gateway.eligibility import eligibility

        found = await jobs.open_jobs(self.store)
        decided = await eligibility(self.store)
        devices = _inventory(self.config)
        return [
            await machine.node_json(
                self.store, self.config, {}, decided, devices, active_jobs=len(found)
            )
        ]

    async def resources(self) -> dict[str, Any]:
        """Return what the machine has."""
        from mnedge.gateway import machine

        report = await machine.resource_report(self.store, self.config, _inventory(self.config))
        return {**report, "pools": {}}

    def _definitions(self) -> Definitions:
        return Definitions(
            self.store,
            lambda: self.config,
            runners=_runners(self.config),
            connectors=_connectors(self.config),
            now=wall_clock,
        )

    async def _owned(self, job_id: str) -> bool:
        return await self.store.claims.holder(jobs.JOBS + job_id) is not None


def _inventory(config: Config) -> Any:
    from mnedge.daemon.app import inventory_of  # heavy, and seldom needed
    from mnedge.daemon.outside import plugins_of

    return inventory_of(config, plugins_of(config))


def _runners(config: Config) -> Mapping[str, Any]:
    from mnedge.daemon.app import runners_of  # heavy, and seldom needed
    from mnedge.execution.processes import Processes

    return runners_of(config, Processes())


async def _cancelled_here(config: Config, job_id: str) -> JobRecord:
    """Own the job for as long as it takes to end it: nobody else does."""
    from mnedge.daemon.app import node  # heavy, and seldom needed

    async with node(config) as here:
        await here.host.start_job(job_id)
        return await here.host.finished(job_id)


def _connectors(config: Config) -> Mapping[str, Any]:
    from mnedge.daemon.app import connectors_of

    return connectors_of(config)
