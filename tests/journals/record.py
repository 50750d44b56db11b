"""Record the jobs below that have no journal yet; see README.md."""

import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import msgspec

import mnedge
from mnedge.engine.compile import CURRENT_REVISION
from mnedge.engine.state import restore, snapshot
from mnedge.model.body import BlobRef, WideInt
from mnedge.model.codec import decode_fact, encode_spec
from mnedge.model.facts import (
    Checkpoint,
    Complete,
    Completion,
    DeliverLater,
    Emission,
    Emit,
    NamedEvent,
    Note,
    Noted,
    Outcome,
    Structured,
    Tell,
)
from mnedge.model.states import OutcomeStatus, Verb
from tests.engine.digest import digest
from tests.engine.jobs import JOB_ID, Play, agent, edge, failed, spec_of, succeeded

HERE = Path(__file__).resolve().parent


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


JOBS: list[Callable[[], Play]] = [
    routing_chain,
    fan_in,
    executor_failure,
    paused_and_cancelled,
    module_agent,
    aggregators,
    service,
    circle,
    mixed,
]


def text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode()


def journal_of(name: str, play: Play) -> str:
    """Return the file's content."""
    cut = (len(play.records) + 1) // 2
    half = Play(play.job.spec, started=False)
    for record in play.records[:cut]:
        half.give(decode_fact(record))
    head = {
        "name": name,
        "release": mnedge.__version__,
        "revision": CURRENT_REVISION,
        "job_id": JOB_ID,
        "spec": text(encode_spec(play.job.spec)),
        "snapshot_after": cut,
        "snapshot": text(snapshot(half.state)),
        "commands": digest(play.commands),
        "events": digest(play.events),
        "state": digest(restore(play.job, snapshot(play.state))),
    }
    return "\n".join([msgspec.json.encode(head).decode(), *map(text, play.records), ""])


def main() -> int:
    for job in JOBS:
        path = HERE / f"{job.__name__}.journal"
        if path.exists():
            continue
        path.write_text(journal_of(job.__name__, job()))
        print(f"recorded {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
