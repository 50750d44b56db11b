"""The engine alone: messages handled in a second, and what an agent takes."""

import gc
import time
import tracemalloc
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from rows import Row

from mnedge.engine.apply import apply
from mnedge.engine.compile import compile_job
from mnedge.engine.state import new_state, restore, snapshot
from mnedge.model.codec import decode_fact, encode_fact
from mnedge.model.commands import RunAttempt
from mnedge.model.events import Event
from mnedge.model.facts import AttemptEnded, Continued, Outcome, Submitted
from mnedge.model.manifest import Agent, Edge, JobSpec
from mnedge.model.message import Message
from mnedge.model.states import AgentKind, OutcomeStatus

HOPS = 200_000
ROUNDS = 5
AGENTS = 10_000


def main() -> list[Row]:
    """Measure and return the rows."""
    return [
        Row("hops of plain routers, apply alone", hops(0), "/s", floor(), budget=250_000),
        Row("hops of routers with a condition", hops(1), "/s"),
        Row("fan-in into one full mailbox", fan_in(), "/s"),
        Row("attempts of workers, apply and records", attempts(), "/s"),
        Row("an idle agent of 10 000 in memory", memory(0), "B", budget=1500, less_is_better=True),
        Row("one with a message under way", memory(1), "B", budget=1500, less_is_better=True),
        Row("snapshot of 10 000 agents", snapshots(), "/s", note="encode and restore"),
    ]


def best(run: Callable[[], tuple[int, float]]) -> float:
    """Return the best rate of several rounds: others use this machine too."""
    rates = []
    for _ in range(ROUNDS):
        gc.collect()
        count, elapsed_s = run()
        rates.append(count / elapsed_s)
    return max(rates)


def job_of(agents: list[Agent], edges: list[Edge], seeds: dict[str, list[Any]]) -> JobSpec:
    """Return a spec with nothing but a graph and its seeds."""
    return JobSpec(
        blueprint_id="bench",
        graph_id="bench_v1",
        job_name="bench",
        agents=agents,
        edges=edges,
        entrypoints=list(seeds),
        seeds=seeds,
    )


def circle(size: int, seeds: int, conditions: dict[str, Any]) -> JobSpec:
    """Return a circle of routers with some messages in it."""
    names = [f"router_{n:03}" for n in range(size)]
    config = {"emit_type": "hop"}
    return job_of(
        [Agent(agent_id=name, kind=AgentKind.ROUTER, config=config) for name in names],
        [
            Edge(
                edge_id=f"edge_{n}",
                sender=name,
                target=names[(n + 1) % size],
                message_type="hop",
                conditions=conditions,
            )
            for n, name in enumerate(names)
        ],
        {name: [{"n": 1, "text": "a reading"}] for name in names[:seeds]},
    )


def hops(conditioned: int) -> float:
    """Return messages a second through routers in a circle."""
    conditions = {"path": "payload.n", "value": 1} if conditioned else {}
    job = compile_job(circle(100, 20, conditions))

    def run() -> tuple[int, float]:
        state = new_state(job, "bench-1")
        apply(job, state, Submitted(at=1.0), 1)
        count, seq = 0, 1
        started = time.perf_counter()
        while count < HOPS:
            seq += 1
            _, events = apply(job, state, Continued(at=1.0), seq)
            count += 10_000
        elapsed_s = time.perf_counter() - started
        assert state.wants_more
        assert events
        return count, elapsed_s

    return best(run)


def floor() -> float:
    """Return the same with the plainest code: an id, a message, an event and a queue a hop."""

    def run() -> tuple[int, float]:
        suffix = b":router_001:router_002:0:edge_1"
        first = Message("x" * 43, "hop", "router_001", "a", "command", "c", 1.0, {"n": 1})
        queue, events = deque([first]), []
        started = time.perf_counter()
        for number in range(HOPS):
            message = queue.popleft()
            digest = sha256(message.message_id.encode() + suffix).digest()
            new_id = urlsafe_b64encode(digest).rstrip(b"=").decode()
            queue.append(
                Message(new_id, "hop", "router_001", "a", "command", "c", 1.0, message.body)
            )
            events.append(Event(number, 1.0, "agent_message_received", "router_001", message))
            if number % 10_000 == 0:
                events = []
        return HOPS, time.perf_counter() - started

    return best(run)


def fan_in() -> float:
    """Return messages a second that a collector takes from a hundred routers."""
    names = [f"router_{n}" for n in range(100)]
    agents = [Agent(agent_id=name, kind=AgentKind.ROUTER) for name in ("source", *names)]
    collector = {"complete_after": 20_000}
    agents.append(Agent(agent_id="collector", kind=AgentKind.AGGREGATOR, config=collector))
    pairs = [("source", name) for name in names] + [(name, "collector") for name in names]
    edges = [
        Edge(edge_id=f"{one}_{two}", sender=one, target=two, message_type="*") for one, two in pairs
    ]
    job = compile_job(job_of(agents, edges, {"source": [{"n": n} for n in range(200)]}))

    def run() -> tuple[int, float]:
        state, seq = new_state(job, "bench-1"), 1
        started = time.perf_counter()
        apply(job, state, Submitted(at=1.0), seq)
        while state.wants_more:
            seq += 1
            apply(job, state, Continued(at=1.0), seq)
        assert state.status == "completed"
        return 40_000, time.perf_counter() - started

    return best(run)


def attempts() -> float:
    """Return executor messages a second: record, read back, apply, next launch."""
    worker = Agent(agent_id="worker", kind=AgentKind.EXECUTOR)
    count = 5000
    job = compile_job(job_of([worker], [], {"worker": [{"n": n} for n in range(count)]}))
    result = {"exit_code": 0, "stdout": "x" * 200, "attempts": 1}
    outcome = Outcome(status=OutcomeStatus.SUCCEEDED, result=result)

    def run() -> tuple[int, float]:
        state, seq = new_state(job, "bench-1"), 1
        commands, _ = apply(job, state, Submitted(at=1.0), seq)
        started = time.perf_counter()
        while commands and isinstance(commands[0], RunAttempt):
            seq += 1
            attempt = commands[0]
            record = encode_fact(
                AttemptEnded(
                    at=1.0,
                    attempt_id=attempt.attempt_id,
                    launch=attempt.launch,
                    outcome=outcome,
                )
            )
            commands, _ = apply(job, state, decode_fact(record), seq)
        assert seq == count + 1
        return count, time.perf_counter() - started

    return best(run)


def many(seeds: int) -> JobSpec:
    """Return ten thousand agents, each with so many seeds."""
    names = [f"agent_{n}" for n in range(AGENTS)]
    return job_of(
        [Agent(agent_id=name, kind=AgentKind.EXECUTOR) for name in names],
        [],
        {name: [{"n": 1}] for name in names[: AGENTS * seeds]},
    )


def memory(seeds: int) -> float:
    """Return the bytes that one of ten thousand agents takes in a state."""
    job = compile_job(many(seeds))
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    state = new_state(job, "bench-1")
    apply(job, state, Submitted(at=1.0), 1)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken / len(state.agents)


def snapshots() -> float:
    """Return how many snapshots a second are written and read."""
    job = compile_job(many(0))
    state = new_state(job, "bench-1")

    def run() -> tuple[int, float]:
        started = time.perf_counter()
        for _ in range(5):
            restore(job, snapshot(state))
        return 5, time.perf_counter() - started

    return best(run)
