"""Random jobs, small enough that a thousand of them run in a minute."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mnedge.model.codec import decode_spec, encode_spec
from mnedge.model.manifest import Agent, Edge, HumanControl, JobSpec
from mnedge.model.states import AgentKind
from tests.simulation.flows import workflow

SINK = "sink"
GATE = Agent(agent_id="entry", kind=AgentKind.ROUTER, config={"approval_mode": "approval_required"})
APPROVAL = HumanControl(mode="approval_required", timeout_s=40.0, default_action="approve")


class Scenario(Struct, frozen=True):
    """A job, and what must come out of it however often its owner dies."""

    job_id: str
    spec: JobSpec
    arrivals: dict[int, int] | None = None
    """Item → how often it comes to the sink; None if the job may fail, or is a service."""
    gated: bool = False
    """People have to approve of each item; somebody who is not asked in time does."""
    told: bool = False
    """What becomes of its steps can be told beforehand."""
    letters: tuple[int, ...] = ()
    """Items that somebody outside sends to the entry, until they are received; so maybe twice."""
    submit_at_s: float = 0.0


def scenarios(random: Random) -> list[Scenario]:
    """Return one to four jobs, each as it will be read again."""
    count = random.choice((1, 1, 1, 1, 2, 2, 2, 3, 4))
    found = [a_scenario(random, f"job-{number}") for number in range(1, count + 1)]
    return [replace(one, spec=decode_spec(encode_spec(one.spec))) for one in found]


def a_scenario(random: Random, job_id: str) -> Scenario:
    """Return a job of some kind."""
    submit_at_s = random.choice((0.0, 0.0, 0.1, 4.0))
    sturdy = random.random() < 0.75
    if random.random() < 0.5:
        spec = workflow(random, sturdy=sturdy)
        return Scenario(job_id, spec, told=sturdy, submit_at_s=submit_at_s)
    letters = tuple(range(101, random.randint(102, 104))) if random.random() < 0.2 else ()
    letters = letters if sturdy else ()
    spec, arrivals = message_graph(random, sturdy=sturdy, letters=letters)
    gated = random.random() < 0.25
    if gated:
        spec = replace(spec, agents=[GATE, *spec.agents[1:]], human=APPROVAL)
    return Scenario(job_id, spec, arrivals, letters=letters, gated=gated, submit_at_s=submit_at_s)


def message_graph(
    random: Random, *, sturdy: bool, letters: Sequence[int]
) -> tuple[JobSpec, dict[int, int] | None]:
    """Return layers of agents that pass items on to a sink, which knows how many must come.

    `sturdy`: whatever goes wrong is tried again, so all of them come.
    """
    layers: list[list[Agent]] = [[_agent("entry", AgentKind.ROUTER)]]
    layers += [
        [_worker(random, f"a{depth}{n}", sturdy=sturdy) for n in range(random.randint(1, 2))]
        for depth in range(1, random.randint(2, 3))
    ]
    edges: list[Edge] = []
    for above, below in pairwise(layers):
        for sender in above:
            targets = random.sample(below, random.randint(1, len(below)))
            edges += [_edge(sender, target) for target in targets]
    fed = {edge.target for edge in edges}
    for above, below in pairwise(layers):
        for target in below:
            if target.agent_id not in fed:
                edges.append(_edge(above[0], target))
    sink = _agent(SINK, AgentKind.AGGREGATOR)
    edges += [_edge(sender, sink) for sender in layers[-1]]
    items = list(range(1, random.randint(1, 4) + 1))
    paths = _paths(edges)
    agents = [agent for layer in layers for agent in layer]
    agents.append(
        _agent(SINK, AgentKind.AGGREGATOR, complete_after=paths * (len(items) + len(letters)))
    )
    policies: dict[str, Any] = {}
    if not sturdy and random.random() < 0.3:
        policies["recovery_mode"] = "manual_recover"
    spec = JobSpec(
        blueprint_id="simulated",
        graph_id="simulated_v1",
        job_name="simulated",
        agents=agents,
        edges=edges,
        entrypoints=["entry"],
        seeds={"entry": [{"n": n} for n in items]},
        policies=policies,
        job_type="service" if letters or (not sturdy and random.random() < 0.2) else "batch",
    )
    return spec, dict.fromkeys([*items, *letters], paths) if sturdy else None


def _worker(random: Random, agent_id: str, *, sturdy: bool) -> Agent:
    kind = random.choice((*[AgentKind.EXECUTOR] * 3, AgentKind.MODULE, AgentKind.ROUTER))
    config: dict[str, Any] = {}
    if kind in (AgentKind.EXECUTOR, AgentKind.MODULE):
        config["trouble"] = random.sample(("fail", "hang", "die"), random.randint(0, 3))
        if random.random() < 0.2:
            config["max_queue_depth"] = random.randint(1, 3)
    if kind is AgentKind.EXECUTOR:
        config |= {
            "command": ["simulated"],
            "runner_module": "simulated",
            "output_message_type": None,
            "timeout_seconds": 20,
        }
        if random.random() < 0.2:
            config["pool_slots"] = 3
    policies: dict[str, Any] = {}
    if sturdy:
        policies["restart"] = {"attempts": 50, "delay_ms": random.choice((0, 5, 1000))}
    return Agent(agent_id=agent_id, kind=kind, config=config, policies=policies)


def _agent(agent_id: str, kind: AgentKind, **config: Any) -> Agent:
    return Agent(agent_id=agent_id, kind=kind, config=config)


def _edge(sender: Agent, target: Agent) -> Edge:
    name = f"{sender.agent_id}__{target.agent_id}"
    return Edge(edge_id=name, sender=sender.agent_id, target=target.agent_id, message_type="*")


def _paths(edges: list[Edge]) -> int:
    """Return how many ways lead from the entry to the sink."""
    reached = Counter({"entry": 1})
    waiting = ["entry"]
    total = 0
    while waiting:
        following: Counter[str] = Counter()
        for sender in waiting:
            for edge in edges:
                if edge.sender == sender:
                    following[edge.target] += reached[sender]
        total += following.pop(SINK, 0)
        reached, waiting = following, sorted(following)
    return total
