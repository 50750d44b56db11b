"""One seed, one world: machines that lose their power, processes that die, all in virtual time.

The coordinator, the host, the executor, the run folder's writer and SQLite are the real ones. Time,
workers, and what the disk does are not. Everything that is left to chance (the order in which ready
tasks run included) follows from the seed, so the same seed gives the same story.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from msgspec import Struct, field
from trio._core import _run as trio_run
from trio.testing import MockClock

from mnedge import faults
from mnedge.bus import Bus, Published
from mnedge.config.settings import Config
from mnedge.errors import ConflictError, NotFoundError, UnavailableError
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus, Verb
from mnedge.part import running
from mnedge.runtime import host, jobs
from mnedge.runtime.coordinator import Coordinator
from mnedge.runtime.host import Host
from mnedge.runtime.submission import submit_spec
from mnedge.store.blobs import on_the_loop
from mnedge.store.runs import mending
from mnedge.store.schema import FILE
from mnedge.store.snapshots import good_snapshots
from mnedge.store.sqlite import SqliteStore
from mnedge.testing.simulated_disk import CrashedError, Fault, SimulatedDisk, What
from tests.simulation.jobs import Scenario, scenarios
from tests.simulation.outside import Outside, SimulatedExecutor, a_letter
from tests.simulation.unsafe import apply
from tests.simulation.witness import (
    ViolationError,
    Witness,
    WitnessedClaims,
    WitnessedJournal,
    WitnessedTable,
)

EPOCH = 1_700_000_000.0
LONG_S = 4 * 3600.0
"""A job that is not over by then, in virtual time and with nothing going wrong, is stuck."""
POINTS = (
    "journal.append.before",
    "journal.append.during",
    "journal.append.after",
    "journal.append.after",
    "journal.snapshot.before",
    "journal.snapshot.after",
    "journal.compact.after",
    "table.put.after",
    "attempt.answered",
    "publish.before",
    "publish.during",
    "publish.after",
    "runs.rename.before",
    "runs.rename.after",
    "coordinator.commands.before",
    "coordinator.commands.before",
    "finish.before",
    "finish.after",
)
"""Named fault points that this world gets to; often drawn ones stand here twice."""

_current: ContextVar["Process | None"] = ContextVar("process", default=None)


class Process(Struct, eq=False):
    """One process on the simulated machine."""

    name: str
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)
    dead: bool = False
    frozen: bool = False
    stash: list[Any] = field(default_factory=list)
    """Its tasks that would run, were it not frozen."""
    store: SqliteStore | None = None
    executor: SimulatedExecutor | None = None


class Crash(Struct, frozen=True):
    """When a process dies, and whether the machine goes with it."""

    at: str
    """`change`: of the disk; `point`: a named fault point; `time`: a moment."""
    number: int
    """Which change, visit, or millisecond of this life."""
    power: bool
    fault: Fault = Fault.DIE_AFTER
    point: str = ""


class Refusal(Struct, frozen=True):
    """Changes of this life that the disk refuses."""

    first: int
    count: int
    fault: Fault


class Ask(Struct, frozen=True):
    """What an operator asks, once it is time."""

    at_s: float
    job_id: str
    verb: Verb
    details: dict[str, Any] = field(default_factory=dict)


class Life(Struct, frozen=True):
    """From one start of the machine to its next crash."""

    crash: Crash | None = None
    refusal: Refusal | None = None
    rivals: bool = False
    """A second host competes; the first one is frozen for a while, and counts as dead then."""


class Report(Struct, frozen=True):
    """What became of a seed."""

    seed: int
    log: list[str]
    broken: list[str]

    @property
    def digest(self) -> str:
        """Return what is the same for the same story."""
        return hashlib.sha256("\n".join(self.log).encode()).hexdigest()


class _Ready(deque[Any]):
    """trio's queue of tasks that can run; those of a frozen process wait elsewhere."""

    def append(self, task: Any) -> None:
        process = task.context.get(_current)
        if process is not None and process.frozen:
            process.stash.append(task)
        else:
            super().append(task)


class World:
    """Everything that one seed brings forth."""

    def __init__(self, seed: int, folder: Path, *, crowded: bool) -> None:
        self.seed = seed
        self._folder = folder
        random = Random(f"{seed}/plan")
        self.scenarios: list[Scenario] = scenarios(Random(f"{seed}/jobs"))
        self.lives = a_plan(random, rivals=1.0 if crowded else 0.2)
        self.asks = _asks(random, self.scenarios)
        self._snapshot_bytes = random.choice((300, 2000, 1 << 20))
        self.outside = Outside(seed)
        self.witness = Witness(self.scenarios, self.outside)
        self.log: list[str] = []
        self.disk = SimulatedDisk(
            str(folder / "machine"),
            self,
            Random(f"{seed}/disk"),
            orderly=random.random() < 0.5,
            untracked=("data/work", "data/doorbells"),
        )
        self.config = Config(
            data_dir=folder / "machine" / "data",
            runs_root=folder / "machine" / "runs",
            home=folder / "home",
            environ={
                "MN_EXECUTOR_POOL_CAPACITIES": f"default={random.choice((3, 4, 6))},roomy=100"
            },
            node="node",
            snapshot_bytes=self._snapshot_bytes,
        )
        self._clock_step_s = 0.0
        self._life = Life()
        self._changes = 0
        self._visits: Counter[str] = Counter()
        self._processes: list[Process] = []
        self._quiet = trio.Event()
        self._number = 0
        self._submitted: set[str] = set()

    # ---- what the disk asks ----

    def of(self, what: What, path: str) -> Fault | None:
        """Decide about a change."""
        life = self._life
        if _current.get() is None:
            return None  # somebody else on the machine: a tool, a person
        self._changes += 1
        crash, refusal = life.crash, life.refusal
        if crash is not None and crash.at == "change" and self._changes == crash.number:
            self.note(f"{crash.fault} at {what} of {self._short(path)}")
            return crash.fault
        if refusal is None or not 0 <= self._changes - refusal.first < refusal.count:
            return None
        if refusal.fault is Fault.FULL and what not in (What.WRITE, What.MAKE):
            return None
        if refusal.fault is Fault.BROKEN and what not in (What.WRITE, What.SYNC):
            return None
        self.note(f"{refusal.fault} at {what} of {self._short(path)}")
        return refusal.fault

    def dead(self) -> bool:
        """Tell whether the process at work now has died."""
        process = _current.get()
        return process is not None and process.dead

    def die(self) -> None:
        """Let the process at work now die, and maybe the machine."""
        process = _current.get()
        if process is not None:
            self._kill(process)

    def _kill(self, process: Process) -> None:
        power = self._life.crash is not None and self._life.crash.power
        for one in self._processes if power else [process]:
            if not one.dead:
                self.note(f"{one.name} dies{' of a power cut' if power else ''}")
                self._thaw(one)
                one.dead = True
                one.scope.cancel()

    def _reached(self, point: str) -> None:
        """Stands in for `faults.hit`."""
        process = _current.get()
        if process is None:
            return
        self.disk.check_alive()
        self._visits[point] += 1
        if point == "journal.append.during":
            self.witness.commits()
        crash = self._life.crash
        if (
            crash is not None
            and crash.at == "point"
            and crash.point == point
            and crash.number == self._visits[point]
        ):
            self.note(f"crash at {point}")
            self._kill(process)
            raise CrashedError

    # ---- telling ----

    def note(self, what: str) -> None:
        """Write down what happens."""
        self.log.append(f"{trio.current_time():10.4f} {what}".replace(str(self._folder), ""))

    def _short(self, path: str) -> str:
        return path.removeprefix(str(self._folder / "machine") + "/")

    def now(self) -> float:
        """Return the date as this machine has it."""
        return EPOCH + trio.current_time() + self._clock_step_s

    # ---- lives ----

    async def run(self) -> None:
        """Live through all of it, and check."""
        trio_run.GLOBAL_RUN_CONTEXT.runner.runq = _Ready(trio_run.GLOBAL_RUN_CONTEXT.runner.runq)
        self.outside.log = self.note
        self.outside.check_alive = self.disk.check_alive
        machine = self._folder / "machine"
        async with trio.open_nursery() as nursery:
            self.outside.nursery = nursery
            for scenario in self.scenarios:
                for item in scenario.letters:
                    nursery.start_soon(self._send, scenario.job_id, item)
                if scenario.gated:
                    nursery.start_soon(self._write_answers, scenario.job_id)
            with self.disk.mounted():
                self.config.data_dir.mkdir(parents=True)
                self.config.runs_root.mkdir(parents=True)
                self._sync_folders(machine)
                for life in self.lives:
                    await self._live(life)
                    if all(story.over for story in self.witness.stories.values()):
                        break
                self._check_end()
            nursery.cancel_scope.cancel()

    async def _send(self, job_id: str, item: int) -> None:
        """Send an item to a job until it is received: sometimes once too often."""
        random = Random(f"{self.seed}/{job_id}/letter/{item}")
        story = self.witness.stories[job_id]
        await trio.sleep(random.uniform(0.0, 20.0))
        received = 0
        while received <= random.choice((0, 0, 1)):
            inbox = self.outside.inboxes.get(job_id)
            if inbox is not None and story.facts:
                if random.random() < 0.2:
                    inbox.put(a_letter(job_id, item, self.now(), to="nobody"))
                self.note(f"letter {item} to {job_id}")
                for _ in range(random.choice((1, 1, 2))):
                    inbox.put(a_letter(job_id, item, self.now()))
            await trio.sleep(random.choice((0.2, 3.0)))
            received += any(f"letter-{item}".encode() in fact for fact in story.facts)

    async def _write_answers(self, job_id: str) -> None:
        """Answer into `human.jsonl`, as a tool or a person may; some of it too early or twice."""
        random = Random(f"{self.seed}/{job_id}/answers")
        path = self.config.runs_root / job_id / "human.jsonl"
        for _ in range(random.choice((0, 2, 4))):
            await trio.sleep(random.uniform(0.0, 40.0))
            if not path.parent.is_dir() or self.witness.stories[job_id].over:
                continue
            payload = {"request_id": f"entry-{random.randint(1, 4)}", "decision": "approve"}
            line = {"type": "human_input_received", "payload": payload}
            self.note(f"line: {payload['request_id']} of {job_id}")
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(file, json.dumps(line).encode() + b"\n")
            os.close(file)

    def _sync_folders(self, machine: Path) -> None:
        """The folders of the machine were there before us."""
        fd = os.open(machine, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    async def _live(self, life: Life) -> None:
        self._life, self._changes, self._visits = life, 0, Counter()
        self.outside.inboxes.clear()
        self._processes = []
        self.note(f"life: {life.crash} {life.refusal} {'rivals' if life.rivals else ''}")
        self._quiet = trio.Event()
        with trio.move_on_after(LONG_S) as patience:
            async with trio.open_nursery() as nursery:
                for _ in range(2 if life.rivals else 1):
                    nursery.start_soon(self._supervised)
                if life.crash is not None and life.crash.at == "time":
                    nursery.start_soon(self._crash_at, life.crash.number / 1000)
                if life.rivals:
                    nursery.start_soon(self._freeze_for_a_while)
                await self._quiet.wait()
                await trio.sleep(30.0)
                for process in self._processes:
                    self._thaw(process)
                nursery.cancel_scope.cancel()
        crashed = life.crash is not None and any(one.dead for one in self._processes)
        power = crashed and life.crash is not None and life.crash.power
        self._life = Life()
        if power:
            self.disk.cut_power()
        self.witness.survey(self.config.data_dir, self._folder / "scratch", power=power)
        self.witness.check()
        if patience.cancelled_caught:
            stuck = [name for name, story in self.witness.stories.items() if not story.over]
            raise ViolationError(f"not over after {LONG_S:g} s: {stuck}")
        random = Random(f"{self.seed}/between/{self._number}")
        await trio.sleep(random.choice((0.0, 0.5, 60.0)))
        if random.random() < 0.2:
            self._clock_step_s += random.choice((-1e9, -100.0, 100.0))

    async def _supervised(self) -> None:
        """Start a process, and again if it could not start; a crash is the end of this life."""
        while True:
            self._number += 1
            process = Process(f"p{self._number}")
            self._processes.append(process)
            await self._process(process)
            if self._dark:
                self._quiet.set()
                return
            if process.dead:
                if all(one.dead or one.ended.is_set() for one in self._processes):
                    self._quiet.set()
                return
            await trio.sleep(1.0)
            if self._dark:
                self._quiet.set()
                return

    @property
    def _dark(self) -> bool:
        """Tell whether the machine has no power."""
        crash = self._life.crash
        return crash is not None and crash.power and any(one.dead for one in self._processes)

    async def _process(self, process: Process) -> None:
        token = _current.set(process)
        self.note(f"{process.name} starts")
        try:
            with process.scope:
                await self._serve(process)
        except* CrashedError:
            pass
        except* UnavailableError as met:
            self.note(f"{process.name} cannot start: {met.exceptions[0]!r}"[:120])
        except* Exception:
            if not process.dead:
                raise  # what a dying process says is void
        finally:
            _current.reset(token)
            process.ended.set()

    async def _serve(self, process: Process) -> None:
        store = SqliteStore(
            self.config.data_dir,
            inline=True,
            now=self.now,
            process=process.name,
            alive=self._alive,
            connect=self.disk.connect,
        )
        async with running(store):
            process.store = store
            real: Any = store
            real.journal = WitnessedJournal(store.journal, self.witness, self.disk.check_alive)
            real.claims = WitnessedClaims(store.claims, self.witness)
            real.table = WitnessedTable(store.table, self.witness)
            process.executor = SimulatedExecutor(
                self.outside, process.name, self.config, store.blobs, self.now
            )
            serving = Host(
                store,
                self.config,
                process.executor,
                _WitnessedBus(self, process),
                now=self.now,
                adopting=True,
                file_work=on_the_loop,
                apply=apply,
            )
            async with running(serving), trio.open_nursery() as nursery:
                for scenario in self.scenarios:
                    nursery.start_soon(self._submit, store, process, scenario)
                nursery.start_soon(self._operate, store, process)
                if self._life.rivals:
                    nursery.start_soon(store._look)
                await trio.sleep_forever()

    def _alive(self, name: str) -> bool:
        return any(
            one.name == name and not one.dead and not one.frozen and not one.ended.is_set()
            for one in self._processes
        )

    def _leads(self, process: Process) -> bool:
        """Tell whether people turn to this process."""
        living = [one for one in self._processes if not one.dead and not one.ended.is_set()]
        return living[:1] == [process]

    async def _submit(self, store: SqliteStore, process: Process, scenario: Scenario) -> None:
        story = self.witness.stories[scenario.job_id]
        await trio.sleep(scenario.submit_at_s)
        while not story.submitted:
            if not self._leads(process):
                await trio.sleep(1.0)
                continue
            try:
                await submit_spec(
                    store, self.config, scenario.spec, job_id=scenario.job_id, now=self.now
                )
            except ConflictError:
                self.witness.put(jobs.OPEN + scenario.job_id, None)  # it was kept, unheard
            except UnavailableError:
                await trio.sleep(1.0)
                continue
            self.note(f"{scenario.job_id} is submitted")

    async def _operate(self, store: SqliteStore, process: Process) -> None:
        """Ask what operators ask, and end the life when all jobs are over."""
        stories = self.witness.stories
        while not all(story.over for story in stories.values()):
            await trio.sleep(1.0)
            if not self._leads(process):
                continue
            due = [ask for ask in self.asks if ask.at_s <= trio.current_time()]
            for ask in due:
                self.asks.remove(ask)
                if not stories[ask.job_id].over:
                    await self._ask(store, ask.job_id, ask.verb, ask.details)
            for job_id, story in stories.items():
                if not story.over and story.submitted:
                    await self._care(store, job_id)
        self._quiet.set()

    async def _care(self, store: SqliteStore, job_id: str) -> None:
        """Let a job that waits for a person go on."""
        try:
            record = await jobs.read_job(store, job_id)
        except (UnavailableError, NotFoundError):
            return
        if record.status in TERMINAL:
            self.witness.stories[job_id].over = True  # whoever wrote that died before it was heard
        if record.status is JobStatus.PAUSED and trio.current_time() % 7 < 1:
            await self._ask(store, job_id, Verb.RESUME)
        endless = self.witness.stories[job_id].scenario.arrivals is None
        if record.job_type == "service" and endless and trio.current_time() > 60:
            await self._ask(store, job_id, Verb.CANCEL)

    async def _ask(
        self,
        store: SqliteStore,
        job_id: str,
        verb: Verb,
        details: dict[str, Any] | None = None,
    ) -> None:
        try:
            request = await jobs.ask(
                store, job_id, verb, now=self.now, by="operator", details=details
            )
        except (ConflictError, UnavailableError, NotFoundError):
            return
        self.note(f"asked: {verb} {job_id}")
        self.witness.stories[job_id].asked.append(request.request_id)

    async def _crash_at(self, after_s: float) -> None:
        await trio.sleep(after_s)
        if self._processes:
            self._kill(self._processes[0])

    async def _freeze_for_a_while(self) -> None:
        """Stop one host without its knowing; meanwhile it counts as dead."""
        random = Random(f"{self.seed}/freeze/{self._number}")
        while True:
            await trio.sleep(random.choice((0.01, 0.3, 2.0, 10.0)))
            living = [one for one in self._processes if not one.dead and not one.ended.is_set()]
            if len(living) < 2:
                return
            process = random.choice(living)
            self.note(f"{process.name} freezes")
            process.frozen = True
            ready = trio_run.GLOBAL_RUN_CONTEXT.runner.runq
            waiting = list(ready)
            ready.clear()
            for task in waiting:
                ready.append(task)
            await trio.sleep(random.choice((0.1, 5.0, 5.0, 60.0)))
            self._thaw(process)
            await trio.sleep(10.0)
            self.note(f"{process.name} is found out and stopped")
            process.scope.cancel()

    def _thaw(self, process: Process) -> None:
        if process.frozen:
            self.note(f"{process.name} thaws")
            process.frozen = False
            stash, process.stash = process.stash, []
            for task in stash:
                trio_run.GLOBAL_RUN_CONTEXT.runner.runq.append(task)

    # ---- the end ----

    def _check_end(self) -> None:
        connection = sqlite3.connect(self._folder / "scratch" / FILE, isolation_level=None)
        try:
            for job_id in self.witness.stories:
                self._check_job(connection, job_id)
        finally:
            connection.close()
        for process in self._processes:
            if process.executor is not None and not process.dead:
                for name, pool in process.executor.stats().items():
                    if pool.in_use or pool.queued or pool.active:
                        self.witness.breaks(f"leases of pool {name} are still held: {pool}")
        self.witness.check()

    def _check_job(self, connection: sqlite3.Connection, job_id: str) -> None:
        story = self.witness.stories[job_id]
        row = connection.execute(
            "SELECT value FROM rows WHERE key = ?", (jobs.JOBS + job_id,)
        ).fetchone()
        record = None if row is None else jobs._decode_job(row[0])
        _, good = good_snapshots(connection, job_id, 1)
        folder = self.config.runs_root / job_id
        self.witness.check_end(story, record, folder, good[0] if good else None)
        if record is not None:
            place = str(self._folder).encode()
            content = b"".join(story.facts) + (folder / "events.jsonl").read_bytes()
            digest = hashlib.sha256(content.replace(place, b"")).hexdigest()
            self.note(f"{job_id} is {record.status}, {len(story.facts)} facts, {digest}")
            for kind in sorted({event.type for event in story.again.events}):
                self.note(f"{job_id} told {kind}")


class _WitnessedBus(Bus):
    """A bus whose publications are written down."""

    def __init__(self, world: World, process: Process) -> None:
        super().__init__()
        self._world = world
        self._process = process

    def publish(self, item: Published) -> None:
        self._world.disk.check_alive()
        self._world.witness.published(
            item.job_id, item.events, self._world.config.runs_root / item.job_id
        )
        super().publish(item)


def a_plan(random: Random, *, rivals: float) -> list[Life]:
    """Return up to four lives that end badly, and two that do not; rivals are so likely."""
    lives = [
        Life(_a_crash(random), _a_refusal(random), random.random() < rivals)
        for _ in range(random.choice((1, 1, 2, 2, 3, 4)))
    ]
    return [*lives, Life(None, _a_refusal(random), random.random() < rivals), Life()]


def _a_crash(random: Random) -> Crash:
    power = random.random() < 0.5
    match random.choice(("change", "change", "point", "point", "time")):
        case "change":
            fault = random.choice((Fault.DIE_BEFORE, Fault.DIE_DURING, Fault.DIE_AFTER))
            return Crash("change", _some(random, 400), power, fault)
        case "point":
            return Crash("point", _some(random, 12), power, point=random.choice(POINTS))
        case _:
            return Crash("time", _some(random, 20_000), power)


def _a_refusal(random: Random) -> Refusal | None:
    if random.random() < 0.7:
        return None
    fault = random.choice((Fault.FULL, Fault.BROKEN))
    return Refusal(_some(random, 400), random.choice((1, 1, 2, 5, 40)), fault)


def _some(random: Random, most: int) -> int:
    """Return a number up to `most`, small ones more often."""
    return int(most ** random.random())


def _asks(random: Random, found: list[Scenario]) -> list[Ask]:
    asks: list[Ask] = []
    for scenario in found:
        job_id = scenario.job_id
        if random.random() < 0.3:
            at_s = random.uniform(0.0, 20.0)
            asks.append(Ask(at_s, job_id, Verb.PAUSE))
            asks.append(Ask(at_s + random.uniform(0.0, 20.0), job_id, Verb.RESUME))
        if random.random() < 0.1 and scenario.arrivals is None and not scenario.told:
            asks.append(Ask(random.uniform(0.0, 30.0), job_id, Verb.CANCEL))
        if scenario.letters and random.random() < 0.6:
            verb = random.choice((Verb.REDRIVE, Verb.DISCARD))
            asks.append(Ask(random.uniform(5.0, 30.0), job_id, verb, {"message_id": "*"}))
        for number in range(1, 5) if scenario.gated else ():
            if random.random() < 0.6:
                answer = {"request_id": f"entry-{number}", "decision": "approve"}
                asks.append(Ask(random.uniform(0.0, 60.0), job_id, Verb.RESPOND, answer))
    return asks


@contextmanager
def _patched(world: World) -> Iterator[None]:
    """Have fault points, random numbers and trio's scheduler follow the seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "hit", world._reached)
        patch.setattr(jobs, "_random", Random(f"{world.seed}/requests"))
        patch.setattr(mending, "LATER", 300)  # no job here has more events
        patch.setattr(host, "Coordinator", partial(_heard_coordinator, world))
        patch.setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
        trio_run._r.seed(f"{world.seed}/scheduler")
        yield


def _heard_coordinator(world: World, record: JobRecord, *rest: Any, **more: Any) -> Coordinator:
    """Return a coordinator whose inbox the outside can reach, as a network would."""
    coordinator = Coordinator(record, *rest, **more)
    world.outside.inboxes[record.job_id] = coordinator._inbox
    return coordinator


def play(seed: int, *, crowded: bool = False) -> Report:
    """Live through a seed; a promise that is broken is in the report.

    `crowded`: two hosts compete in every life but the last.
    """
    memory = "/dev/shm"
    place = memory if os.path.isdir(memory) and os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="mnedge-simulation-", dir=place))
    try:
        (folder / "machine").mkdir()
        world = World(seed, folder, crowded=crowded)
        broken: list[str] = []
        with _patched(world):
            try:
                trio.run(world.run, clock=MockClock(autojump_threshold=0))
            except BaseException as error:
                broken = world.witness.broken or [_innermost(error)]
        return Report(seed, world.log, broken or world.witness.broken)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, KeyboardInterrupt):
        raise error
    return "".join(traceback.format_exception(error))[-3000:]
