"""Record the jobs below that have no journal yet; see README.md."""

import os
import shutil
import signal
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

import mnedge
from mnedge.engine.apply import apply
from mnedge.engine.compile import CURRENT_REVISION, compile_job
from mnedge.engine.state import new_state, restore, snapshot
from mnedge.model.body import BlobRef, WideInt
from mnedge.model.codec import decode_fact, encode_spec
from mnedge.model.facts import (
    Checkpoint,
    Complete,
    Completion,
    DeliverLater,
    Emission,
    Emit,
    LiveInputRead,
    LiveItem,
    NamedEvent,
    Note,
    Noted,
    Outcome,
    Structured,
    Tell,
)
from mnedge.model.manifest import JobSpec, LiveInput
from mnedge.model.states import OutcomeStatus, Verb
from tests.engine.digest import digest
from tests.engine.jobs import JOB_ID, Play, agent, edge, failed, spec_of, succeeded
from tests.live.approval import Rollout
from tests.live.crash import Trial
from tests.live.forge import Forge
from tests.live.ledgers import PATTERNS

HERE = Path(__file__).resolve().parent
KILLED = -9
PATIENT = ["--set", "human_control.timeout_seconds=60"]
EVERY_FACT = {"MNEDGE_SNAPSHOT_BYTES": str(1 << 30)}
"""Lets the store keep all facts of a job."""


def routing_chain() -> Play:
    """Two routers and a reviewer; conditions on one of the edges."""
    agents = [
        agent("intake", emit_type="request_received"),
        agent("planner", emit_type="plan_ready"),
        agent("archive", "sensor"),
        agent(
            "reviewer",
            "aggregator",
            complete_on_message=True,
            terminal_sink=True,
            complete_run=True,
        ),
    ]
    urgent = {"any": [{"path": "payload.urgent", "value": True}, {"expr": "${payload.n} >= 2"}]}
    edges = [
        edge("intake", "planner", "request_received"),
        edge("planner", "archive", "*", conditions=urgent, routing_mode="all_match"),
        edge("planner", "reviewer", "plan_ready", conditions={"not": urgent}),
    ]
    seeds = [{"n": 2}, {"n": 1, "urgent": True}, {"envelope": {"type": "x"}, "body": {"n": 0}}]
    return Play(spec_of(agents, edges, seeds={"intake": seeds}))


def fan_in() -> Play:
    """A hundred workers, a collector that counts them, a summary."""
    names = [f"worker_{n:03}" for n in range(100)]
    agents = [
        agent("dispatcher", emit_type="scan"),
        *(agent(name, "executor", output_message_type="scanned") for name in names),
        agent("collector", "aggregator", complete_after=100, output_message_type="collected"),
        agent("summary", "executor", terminal_sink=True, complete_run=True),
    ]
    edges = [
        *(edge("dispatcher", name, "scan") for name in names),
        *(edge(name, "collector", "scanned") for name in names),
        edge("collector", "summary", "collected"),
    ]
    play = Play(spec_of(agents, edges, seeds={"dispatcher": [{"limit": 1000}]}))
    for number, launch in enumerate(play.launches[:60]):
        play.at += 0.25
        noted = Note(at=play.at, type="executor_lease_released", agent_id=launch.agent_id)
        play.give(Noted(at=play.at, notes=[noted]))
        play.ended(launch, succeeded(f'{{"primes": {number}}}\n'))
    play.crashed()
    for launch in [one for one in play.launches if one.launch == 2]:
        play.ended(launch, succeeded("again"))
    play.ended(outcome=succeeded("summary"))
    return play


def executor_failure() -> Play:
    """Restarted twice by policy, then failed; another worker is stopped."""
    policy = {"attempts": 2, "delay_ms": 100, "delay_function": "fibonacci", "interval_ms": 60_000}
    agents = [agent("run", "executor"), agent("other", "executor", failure_message_type="sorry")]
    spec = spec_of(agents, entrypoints=["run", "other"], policies={"restart": policy}, seeds={})
    play = Play(spec)
    error = {"error": "exit code 3", "exit_code": 3, "stderr": BlobRef("sha256:ab", 70_000)}
    for _ in range(2):
        play.ended(
            next(one for one in reversed(play.launches) if one.agent_id == "run"), failed(error)
        )
        play.fired("restart:run")
    play.sent("other", {"n": 1})
    play.ended(next(one for one in play.launches if one.agent_id == "other"), failed())
    play.ended(next(one for one in reversed(play.launches) if one.agent_id == "run"), failed(error))
    return play


def paused_and_cancelled() -> Play:
    """Pause while a worker runs, messages meanwhile, resume, crash, cancel."""
    agents = [agent("r", emit_type="x"), agent("w", "executor", startup_delay_ms=250)]
    play = Play(spec_of(agents, [edge("r", "w", "x")]))
    play.asked(Verb.PAUSE, by="operator")
    play.fired("startup:w")
    for number in range(3):
        play.sent("r", {"n": number})
    play.asked(Verb.RESUME, "again")
    play.asked(Verb.RESUME, "again")
    play.ended()
    play.crashed()
    play.at -= 86_400
    play.sent("ghost")
    play.asked(Verb.CANCEL, reason="enough")
    return play


def module_agent() -> Play:
    """A module agent that ticks, crashes, recovers, checkpoints and completes."""
    agents = [agent("clock", "module", module="python:clock:Clock"), agent("board", "aggregator")]
    agents[1] = agent("board", "aggregator", complete_job=False, complete_after=2)
    play = Play(spec_of(agents, [edge("clock", "board", "tick_seen")]))
    tick = DeliverLater(delay_s=0.5, type="tick", body={"token": 1})
    play.answered(
        actions=[tick, Tell(event=NamedEvent(type="started", payload={}))], state={"n": 0}
    )
    for count in range(1, 4):
        play.fired(next(iter(play.timers)))
        body = {"count": WideInt(10**20 + count)}
        seen = Emit(emission=Emission(type="tick_seen", body=body))
        kept = Checkpoint(snapshot={"count": count})
        play.answered(actions=[seen, tick, kept], state={"n": count})
    play.crashed()
    play.answered(actions=[tick], state={"n": 3, "recovered": True})
    play.fired(next(iter(play.timers)))
    play.answered(crash="exit code 139")
    play.fired("restart:clock")
    play.answered(state={"n": 3})
    play.answered(
        actions=[Complete(completion=Completion(scope="run", value="done"))], state={"n": 4}
    )
    return play


def aggregators() -> Play:
    """Deduplication, a buffer that fires again and again, aggregates of aggregates, silence."""
    agents = [
        agent("first", "aggregator", complete_after=2, output_message_type="some"),
        agent("second", "aggregator", complete_on_message=True, output_message_type="all"),
        agent("third", "aggregator", complete_job=False),
    ]
    edges = [edge("first", "second", "some"), edge("second", "third", "all")]
    seeds = [{"agent_id": f"w{n % 4}", "n": n} for n in range(6)]
    play = Play(spec_of(agents, edges, seeds={"first": [*seeds, {"body": None}, {"body": [1]}]}))
    play.sent("first", BlobRef("sha256:cd", 90_000, values={"agent_id": "w9"}))
    play.sent("first", {"agent_id": "w9"})
    play.fired("idle")
    return play


def service() -> Play:
    """A service whose completing agent is only noted; full mailboxes, dropped stream messages."""
    agents = [
        agent("source", emit_type="chunk"),
        agent("peaks", "executor", max_queue_depth=3, output_message_type="peak"),
        agent("board", "aggregator", complete_job=True, complete_after=2),
    ]
    edges = [edge("source", "peaks", "chunk"), edge("peaks", "board", "peak")]
    seeds = [{"envelope": {"class": "stream"}, "body": {"n": n}} for n in range(6)]
    spec = spec_of(agents, edges, seeds={"source": seeds}, job_type="service", generation="C")
    play = Play(spec)
    for number in range(4):
        structured = Structured(has_next_state=True, next_state={"chunks": number})
        play.ended(outcome=succeeded("{}", structured, sdk_result={"outputs": {"n": number}}))
        play.sent("source", {"late": number})
    play.ended(outcome=Outcome(status=OutcomeStatus.STOPPED))
    play.fired("restart:peaks")
    return play


def circle() -> Play:
    """Two workers with mailboxes of one that send each other more than they take."""
    agents = [agent(name, "executor", max_queue_depth=1) for name in ("left", "right")]
    play = Play(spec_of(agents, [edge("left", "right"), edge("right", "left")]))
    for number in range(8):
        other = "right" if play.launches[-1].agent_id == "left" else "left"
        more = [Emission(type="more", to=other, body={"n": number}) for _ in range(2)]
        play.ended(outcome=succeeded(structured=Structured(emissions=more)))
    return play


def mixed() -> Play:
    """All kinds of agents, mailboxes that fill, a pause, a crash."""
    agents = [
        agent("r", emit_type="x", max_queue_depth=4),
        agent("n", "sensor"),
        agent("w", "executor", max_queue_depth=1),
        agent("m", "module"),
        agent("g", "aggregator", complete_after=2, output_message_type="all"),
        agent("end", "aggregator", complete_after=40),
    ]
    edges = [
        edge("r", "n"),
        edge("n", "w"),
        edge("r", "m", conditions={"path": "payload.n", "op": ">", "value": 2}),
        edge("w", "g"),
        edge("m", "g"),
        edge("g", "end", routing_mode="first_match"),
    ]
    play = Play(spec_of(agents, edges, seeds={"r": [{"n": n} for n in range(9)]}))
    for number in range(6):
        play.ended(outcome=succeeded(f"out {number}"))
        play.answered(state={"count": number})
    play.asked(Verb.PAUSE)
    play.sent("r", {"late": True})
    play.crashed()
    play.asked(Verb.RESUME)
    for number in range(6):
        play.ended(outcome=succeeded(f"out {number}"))
        play.answered(state={"count": number})
    return play


def live_inputs() -> Play:
    """Two sources: things that come, come twice, during a pause and over a crash; both end."""
    agents = [agent("intake"), agent("worker", "executor")]
    live = [
        LiveInput(name="drop", skill="folder.watch", connector="file", settings={}),
        LiveInput(name="tide", skill="http.get", connector="http", settings={}, to=["worker"]),
    ]
    play = Play(spec_of(agents, [edge("intake", "worker")], live_inputs=live))

    def read(name: str, *items: str, **more: object) -> None:
        play.at += 1.5
        came = [
            LiveItem(item_id=one, type="thing_came", body={"n": one}, source_ref={"path": one})
            for one in items
        ]
        play.give(LiveInputRead(at=play.at, name=name, items=came, **more))

    read("drop", "a", "b", cursor="2", reads=3)
    play.ended(play.launches[0])
    read("drop", "b", "c", cursor="3")
    play.asked(Verb.PAUSE)
    read("tide", "high", cursor="x")
    play.crashed()
    play.asked(Verb.RESUME)
    for _ in range(4):
        play.ended()
    read("tide", ended={"code": "connector.refused", "error": "it answered 403"})
    large = LiveItem(item_id="d", type="large_came", body=BlobRef("sha256:cd", 70_000))
    play.give(LiveInputRead(at=play.at, name="drop", items=[large], cursor="4"))
    play.ended()
    read("drop", ended={"code": "budget.exceeded", "error": "no more reads"}, fails=True)
    return play


JOBS: list[Callable[[], Play]] = [
    routing_chain,
    fan_in,
    executor_failure,
    paused_and_cancelled,
    live_inputs,
    module_agent,
    aggregators,
    service,
    circle,
    mixed,
]


class Recorded(msgspec.Struct, frozen=True):
    """A job as its owner kept it."""

    job_id: str
    spec: JobSpec
    records: list[bytes]

    @classmethod
    def of(cls, play: Play) -> "Recorded":
        """Return a job that was played."""
        return cls(JOB_ID, play.job.spec, play.records)


KILLS = {
    "field_survey": "spawn.after:3:kill",
    "meter_readout": "coordinator.commands.before:4:kill",
    "setting_rollout": "coordinator.commands.before:3:kill",
    "shipment_import": "attempt.answered:4:kill",
    "leak_search": "publish.during:3:kill",
}
"""Where a run of a pattern is cut for a second journal of it."""


def run(blueprint: str, fault: str = "") -> Recorded:
    """Run a blueprint, by real processes, and return its job; killed there, if at all."""
    with _forge() as forge, _folder() as folder:
        trial = Trial(forge, folder, blueprint)
        trial.environ |= EVERY_FACT
        code = trial.run(fault=fault)
        if fault:
            assert code == KILLED, f"{blueprint} never came to {fault}"
            code = trial.recover()
        assert code == trial.ends_with, trial.words()
        return _recorded(trial)


def setting_rollout_approved() -> Recorded:
    """The owner dies while a question is open; the answer is found when the job goes on."""
    with _forge() as forge, _folder() as folder:
        rollout = Rollout(forge, folder, "setting_rollout", settings=PATIENT)
        rollout.environ |= EVERY_FACT
        pid = rollout.begin_and_wait()
        os.kill(pid, signal.SIGKILL)
        assert rollout.ended(pid) == KILLED
        rollout.answer("approve")
        assert rollout.recover() == 0, rollout.words()
        return _recorded(rollout)


def _recorded(trial: Trial) -> Recorded:
    [job_id] = trial.jobs()
    return Recorded(job_id, trial.spec(), trial.records())


@contextmanager
def _forge() -> Iterator[Forge]:
    forge = Forge()
    try:
        yield forge
    finally:
        forge.close()


@contextmanager
def _folder() -> Iterator[Path]:
    """Have a folder whose name says nothing of this machine: paths in it become part of facts."""
    folder = Path(tempfile.gettempdir(), "mnedge-recording")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def everything() -> dict[str, Callable[[], Recorded]]:
    """Return what is recorded, by name."""
    found: dict[str, Callable[[], Recorded]] = {}
    for make in JOBS:
        found[make.__name__] = lambda make=make: Recorded.of(make())
    for blueprint in PATTERNS:
        found[blueprint] = partial(run, blueprint)
    for blueprint, fault in KILLS.items():
        found[f"{blueprint}_killed"] = partial(run, blueprint, fault)
    found[setting_rollout_approved.__name__] = setting_rollout_approved
    return found


def text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode()


def journal_of(name: str, recorded: Recorded) -> str:
    """Return the file's content."""
    job = compile_job(recorded.spec)
    state = new_state(job, recorded.job_id)
    cut = (len(recorded.records) + 1) // 2
    commands, events, kept = [], [], b""
    for number, record in enumerate(recorded.records, 1):
        done, told = apply(job, state, decode_fact(record), number)
        commands += done
        events += told
        if number == cut:
            kept = snapshot(state)
    head = {
        "name": name,
        "release": mnedge.__version__,
        "revision": CURRENT_REVISION,
        "job_id": recorded.job_id,
        "spec": text(encode_spec(recorded.spec)),
        "snapshot_after": cut,
        "snapshot": text(kept),
        "commands": digest(commands),
        "events": digest(events),
        "state": digest(restore(job, snapshot(state))),
    }
    return "\n".join([msgspec.json.encode(head).decode(), *map(text, recorded.records), ""])


def main(folder: Path = HERE) -> int:
    for name, record in everything().items():
        path = folder / f"{name}.journal"
        if path.exists():
            continue
        path.write_text(journal_of(name, record()))
        print(f"recorded {path.name}, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
