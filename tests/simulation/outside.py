"""The world outside of mnedge: workers that succeed, fail, hang, die, and answer late.

What they do is kept here, where no crash of a simulated machine reaches it: as a real worker's
effects stand, whatever becomes of whoever started it. What a worker does follows from the seed and
its launch alone, not from the order in which things happen.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio
from msgspec import Struct

from mnedge.execution.attempt import Executor
from mnedge.execution.modules import ModuleAnswer
from mnedge.execution.order import AttemptOrder, JobContext
from mnedge.execution.telling import TellNote
from mnedge.model.commands import CallModule, RunAttempt
from mnedge.model.facts import (
    AttemptEnded,
    DeliverLater,
    Emission,
    Emit,
    MessageArrived,
    Outcome,
)
from mnedge.model.message import normalise
from mnedge.model.states import OutcomeStatus
from mnedge.ports import Finished, Launch
from mnedge.runtime.inbox import Inbox

TROUBLE = 3
"""From this launch of an attempt on, all goes well: faults are finite."""
HANG_S = 10_000.0
BEACON_S = 20.0
EARLY = {"said": "early"}


class Doing(Struct, frozen=True):
    """What one launch of a worker does."""

    how: str
    """`succeed`, `fail`, `die`, `hang`, or `mute`: hang without a sign of life."""
    takes_s: float
    tells: int = 0
    """Live events on the way."""
    late_s: float | None = None
    """Its answer is heard again so much later, as from somebody who was thought to be gone."""
    early: bool = False
    """It says that its step is complete before it answers."""


class Started(Struct, frozen=True):
    """A launch that began: an effect on the world."""

    job_id: str
    work_id: str
    launch: int
    by: str
    """The process that started it."""


class Outside:
    """All effects, in order, and what is yet to be heard."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.started: list[Started] = []
        self.inboxes: dict[str, Inbox] = {}
        """Where the job's newest owner listens."""
        self.nursery: trio.Nursery | None = None
        self.check_alive: Callable[[], None] = lambda: None
        """Raises in a process that is dead: it has no effects any more."""
        self.log: Callable[[str], None] = lambda _: None

    def begin(self, job_id: str, work_id: str, launch: int, by: str) -> None:
        """Note that a launch has an effect."""
        self.check_alive()
        self.started.append(Started(job_id, work_id, launch, by))
        self.log(f"{by} starts {job_id}/{work_id}/{launch}")

    def doing(self, job_id: str, command: RunAttempt | CallModule, config: dict[str, Any]) -> Doing:
        """Return what that launch does; only agents that say so have trouble."""
        if isinstance(command, RunAttempt) and config.get("step"):
            return doing_of_step(self.seed, job_id, command, config)
        work_id = command.attempt_id if isinstance(command, RunAttempt) else command.call_id
        launch = command.launch
        random = Random(f"{self.seed}/{job_id}/{work_id}/{launch}")
        takes_s = random.choice((0.0, 0.001, 0.05, 0.3, 2.0, 9.0))
        tells = random.choice((0, 0, 0, 1, 3))
        late_s = random.choice((None, None, 0.0, 0.2, 3.0))
        ways = ["succeed"] * 6 + list(config.get("trouble", ()))
        how = random.choice(ways) if launch < TROUBLE else "succeed"
        return Doing(how, takes_s, tells, late_s)

    def hear_late(self, fact: AttemptEnded, job_id: str, late_s: float) -> None:
        """Have an answer heard (again) by whoever owns the job then."""
        if self.nursery is not None:
            self.nursery.start_soon(self._hear_late, fact, job_id, late_s)

    async def _hear_late(self, fact: AttemptEnded, job_id: str, late_s: float) -> None:
        await trio.sleep(late_s)
        inbox = self.inboxes.get(job_id)
        if inbox is not None:
            self.log(f"late: {job_id}/{fact.attempt_id}/{fact.launch}")
            inbox.put(fact)


class SimulatedRunner:
    """Runs nothing: does what the outside says, in virtual time."""

    name = "simulated"
    modules = ("simulated",)
    isolation = "vm"

    def __init__(self, outside: Outside, process: str) -> None:
        self.outside = outside
        self.process = process
        self.commands: dict[str, RunAttempt] = {}

    def available(self) -> str | None:
        return None

    async def run(self, launch: Launch, on_line: Callable[[bytes], bool]) -> Finished:
        command = self.commands[launch.token]
        job_id = launch.token.partition("/")[0]
        outside = self.outside
        outside.begin(job_id, command.attempt_id, command.launch, self.process)
        doing = outside.doing(job_id, command, launch.config)
        if doing.how in ("hang", "mute"):
            return await self._hang(launch, on_line if doing.how == "hang" else None)
        for number in range(doing.tells):
            await trio.sleep(doing.takes_s / doing.tells)
            told = {"type": "told", "payload": {"number": number}}
            on_line(b"__MN_EVENT__" + json.dumps(told).encode())
        if not doing.tells:
            await trio.sleep(doing.takes_s)
        if doing.early:
            told = {"type": "workflow_step_completed", "payload": {"output": EARLY}}
            on_line(b"__MN_EVENT__" + json.dumps(told).encode())
            await trio.sleep(0.01)
        match doing.how:
            case "fail":
                return Finished(status=OutcomeStatus.FAILED, exit_code=3, stderr=b"no")
            case "die":
                return Finished(status=OutcomeStatus.STOPPED, error="killed from outside")
        return Finished(
            status=OutcomeStatus.SUCCEEDED,
            exit_code=0,
            stdout=stdout_of(command, launch.config).encode(),
        )

    async def _hang(self, launch: Launch, on_line: Callable[[bytes], bool] | None) -> Finished:
        with trio.move_on_after(HANG_S if launch.timeout_s is None else launch.timeout_s):
            while on_line is not None and launch.config.get("agent_beacon_required"):
                on_line(b'__MN_AGENT_BEACON__{"message":"still here"}')
                await trio.sleep(BEACON_S)
            await trio.sleep_forever()
        return Finished(status=OutcomeStatus.FAILED, error="simulated command timed out")

    async def sweep(self, tokens: dict[str, str]) -> int:
        return 0


def a_letter(job_id: str, item: int, at: float, *, to: str = "entry") -> MessageArrived:
    """Return an item on its way to a job's agent; the same one every time that it is sent."""
    sent = {"message_id": f"letter-{item}" if to == "entry" else f"{to}-{item}"}
    seed = f"{job_id}/letter/{item}"
    message = normalise({**sent, "body": {"n": item}}, at=at, seed=seed, to=to)
    return MessageArrived(at=at, message=message)


def stdout_of(command: RunAttempt, config: dict[str, Any]) -> str:
    """Return what a worker that succeeds prints: the item it was given, passed on."""
    if config.get("step"):
        return stdout_of_step(command, config)
    return json.dumps({"emit_messages": [{"type": "item", "body": item_of(command.message.body)}]})


def doing_of_step(seed: int, job_id: str, command: RunAttempt, config: dict[str, Any]) -> Doing:
    """Return what a launch for a step does: the same for all launches of an attempt.

    The last attempt of a step that must not fail succeeds.
    """
    step_id, number = command.workflow.get("step_id"), command.workflow.get("attempt")
    random = Random(f"{seed}/{job_id}/{step_id}/{number}")
    takes_s = random.choice((0.0, 0.001, 0.05, 0.3, 2.0, 9.0))
    tells = random.choice((0, 0, 0, 1, 3))
    late_s = random.choice((None, None, 0.0, 0.2, 3.0))
    last = number is None or number >= config["tries"]
    ways = ["succeed"] * 2 + ([] if last and not config["gives_up"] else config["trouble"])
    how = random.choice(ways)
    early = how == "succeed" and "says" not in config and random.random() < 0.1
    return Doing(how, takes_s, tells, late_s, early)


def stdout_of_step(command: RunAttempt, config: dict[str, Any]) -> str:
    """Return what a step's worker prints when it succeeds; a controller fans out once."""
    if "says" not in config or "fan_out" in command.workflow:
        return "done"
    return json.dumps({"events": config["says"]})


def item_of(body: Any) -> dict[str, Any]:
    """Return the item that a message carries."""
    return {"n": body["n"]} if isinstance(body, dict) and "n" in body else {"n": -1}


class NoProcesses:
    """A spawner of a world without processes."""

    def start(self, *arguments: Any, **named: Any) -> Any:
        raise OSError("no processes here")

    async def sweep(self, tokens: Any) -> int:
        return 0


class SimulatedExecutor(Executor):
    """The real executor (leases, staging, reading of answers) over the simulated runner."""

    def __init__(self, outside: Outside, process: str, config: Any, blobs: Any, now: Any) -> None:
        self._outside = outside
        self._runner = SimulatedRunner(outside, process)
        super().__init__(
            config,
            {"simulated": self._runner},
            blobs,
            random=Random(f"{outside.seed}/{process}"),
            now=now,
            spawner=NoProcesses(),
        )

    async def run(self, order: AttemptOrder, note: TellNote) -> Outcome:
        command, job_id = order.command, order.job.job_id
        token = f"{job_id}/{command.attempt_id}/{command.launch}"
        self._runner.commands[token] = command
        config = order.job.agents[command.agent_id].config
        outcome: Outcome | None = None
        try:
            outcome = await super().run(order, note)
            return outcome
        finally:
            late_s = self._outside.doing(job_id, command, config).late_s
            if late_s is not None:
                self._outside.hear_late(
                    AttemptEnded(
                        at=order.job.clock(),
                        attempt_id=command.attempt_id,
                        launch=command.launch,
                        outcome=outcome or stale_outcome(command),
                    ),
                    job_id,
                    late_s,
                )

    @asynccontextmanager
    async def module_workers(self, job: JobContext) -> AsyncIterator["SimulatedModules"]:
        yield SimulatedModules(self._outside, self._runner.process, job)


def stale_outcome(command: RunAttempt) -> Outcome:
    """Return what a launch that was stopped would have answered: something that nobody asked for.

    Taken for the answer of another launch, it would be seen in the job's result.
    """
    return Outcome(
        status=OutcomeStatus.FAILED,
        error={"error": f"stale answer of launch {command.launch}", "attempts": 1},
    )


class SimulatedModules:
    """Workers with a state: each remembers the items it has seen."""

    def __init__(self, outside: Outside, process: str, job: JobContext) -> None:
        self._outside = outside
        self._process = process
        self._job = job
        self._held: dict[str, tuple[int, Any]] = {}

    async def call(self, command: CallModule, note: TellNote) -> ModuleAnswer:
        job_id = self._job.job_id
        self._outside.begin(job_id, command.call_id, command.launch, self._process)
        agent = self._job.agents[command.agent_id]
        doing = self._outside.doing(job_id, command, agent.config)
        version, state = self._held.pop(command.agent_id, (-1, None))
        if version != command.state_version:
            state = command.state if command.state_version else {"seen": []}
        await trio.sleep(doing.takes_s)
        if doing.how in ("fail", "die", "hang") and command.message is not None:
            return ModuleAnswer(crash=f"launch {command.launch} crashed")
        answer = self._answer(command, state)
        self._held[command.agent_id] = (command.state_version + 1, answer.state)
        return answer

    def _answer(self, command: CallModule, state: Any) -> ModuleAnswer:
        message = command.message
        if message is None:
            return ModuleAnswer(state=state)
        item = item_of(message.body)
        state = {"seen": [*state["seen"], message.message_id]}
        if item["n"] % 3 == 0 and message.type != "later":
            return ModuleAnswer(
                actions=[DeliverLater(delay_s=item["n"] / 3, type="later", body=item)], state=state
            )
        return ModuleAnswer(actions=[Emit(emission=Emission(type="item", body=item))], state=state)
