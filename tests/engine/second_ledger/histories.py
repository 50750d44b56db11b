"""Random workflow jobs, and random histories of them, each from one seed.

What may be done next is chosen by looking at the second ledger: what it has out, what is due. Every
worker's answer carries a label of its own, so messages can be told apart on both sides.
"""

from random import Random
from typing import Any

from msgspec import Struct

from mnedge.model.facts import Completion, Emission, NamedEvent, Outcome, Structured
from mnedge.model.manifest import (
    Agent,
    Dynamic,
    Edge,
    JobSpec,
    Region,
    Step,
    StepEdge,
    Workflow,
)
from mnedge.model.states import AgentKind, FailurePolicy, OutcomeStatus, TriggerRule
from tests.engine.second_ledger.ledger import ACTIVE, OVER, Ledger

MOST_MOVES = 200
ACCEPTS = (
    ["done"], ["done"], ["done"], ["completed"], ["done", "partial"], ["done", "skipped"],
    ["done", "partial", "skipped"], ["partial"], ["completed", "skipped"],
)  # fmt: skip
LENIENT_ACCEPTS = (["done"], *[["done", "partial", "skipped"]] * 4)
RULES = (
    *[TriggerRule.ALL_SUCCESS] * 6,
    *[rule for rule in TriggerRule if rule is not TriggerRule.ALL_SUCCESS] * 2,
)
ROOT_RULES = (*[TriggerRule.ALL_SUCCESS] * 4, TriggerRule.ALL_DONE)
POLICIES = (*[FailurePolicy.FAIL_WORKFLOW] * 2, FailurePolicy.CONTINUE_PARTIAL, FailurePolicy.SKIP)


class Move(Struct, kw_only=True, omit_defaults=True):
    """One thing that happens to a job."""

    kind: str
    """submit, end, said, beacon, send, timer, late…, crash, pause, resume, cancel."""
    at: float
    agent: str = ""
    label: str = ""
    step: str | None = None
    outcome: Outcome | None = None
    event: NamedEvent | None = None
    timeout_ms: float | None = None
    request_id: str = ""
    """With a crash: a pause that was asked for while nobody was there."""
    pick: float = 0.0
    """Which of the launches that are over, as a share of them."""


# ---- jobs ----


def draw_step(
    rng: Random, name: str, agent: str, parents: int, number: int, *, lenient: bool
) -> Step:
    rule = rng.choice(RULES if parents else ROOT_RULES)
    unique_s = number / 32
    return Step(
        step_id=name,
        label=name,
        agent_id=agent,
        agent_ids=[agent],
        required=rng.random() < (0.1 if lenient else 0.75),
        failure_policy=rng.choice(POLICIES),
        rule=rule,
        quorum=rng.randint(1, parents) if rule is TriggerRule.QUORUM_SUCCESS else None,
        max_attempts=rng.choice([1, 1, 2, 2, 3, 4]),
        retry_backoff_ms=rng.choice([0, 0, 125, 500, 1000, 0.5]),
        retry_backoff_multiplier=rng.choice([1, 1.5, 2, 2]),
        timeout_s=rng.choice([None, 300 + unique_s, 300 + unique_s, 20 + unique_s, 6 + unique_s]),
        beacon_timeout_ms=rng.choice([None, None, None, 4000 + 31.25 * number, 45_000]),
        min_confidence=rng.choice([None, None, None, 0.5]),
    )


def draw_agent(rng: Random, name: str) -> Agent:
    config: dict[str, Any] = {}
    if rng.random() < 0.3:
        config["output_message_type"] = rng.choice(["out", "out", "other", None])
    if rng.random() < 0.1:
        config["workflow_complete_step"] = False
    if rng.random() < 0.07:
        config["failure_message_type"] = "sorry"
    if rng.random() < 0.08:
        config["side_effect"] = "write"
        if rng.random() < 0.3:
            config["idempotent"] = True
    return Agent(agent_id=name, kind=AgentKind.EXECUTOR, config=config)


def draw_dynamic(rng: Random, edges: list[StepEdge], names: list[str]) -> Dynamic:
    templates = [
        draw_step(rng, f"t{n}", f"wt{n}", 1, 40 + n, lenient=True)
        for n in range(rng.choice([1, 2]))
    ]
    allowed = [one.step_id for one in templates]
    path = rng.choice(edges)
    regions = [
        Region(
            region_id="path",
            strategy="replace_path",
            controller=path.source,
            exit=path.target,
            templates=allowed,
            mutable_edges=[path.edge_id],
        )
    ]
    others = [name for name in names if name not in (path.source, path.target)]
    if others and rng.random() < 0.5:
        controller = rng.choice(others)
        later = [name for name in others if names.index(name) > names.index(controller)]
        regions.append(
            Region(
                region_id="fan",
                strategy="checkpoint_fanout",
                controller=controller,
                exit=rng.choice(later) if later and rng.random() < 0.5 else None,
                templates=allowed,
            )
        )
    return Dynamic(templates=templates, regions=regions)


def draw_spec(rng: Random) -> JobSpec:
    """Return a job of two to twelve steps; half of them go on whatever fails."""
    lenient = rng.random() < 0.5
    count = rng.choice([2, 3, 3, 4, 4, 5, 6, 7, 8, 10, 12])
    names = [f"s{n}" for n in range(count)]
    step_edges: list[StepEdge] = []
    for n in range(1, count):
        parents = [m for m in range(n) if rng.random() < min(0.6, 1.6 / n)]
        if not parents and rng.random() < 0.85:
            parents = [rng.randrange(n)]
        step_edges += [
            StepEdge(
                edge_id=f"s{m}_to_s{n}",
                source=f"s{m}",
                target=f"s{n}",
                accepts=rng.choice(LENIENT_ACCEPTS if lenient else ACCEPTS),
            )
            for m in parents
        ]
    rng.shuffle(step_edges)
    parents_of = {name: sum(e.target == name for e in step_edges) for name in names}
    steps = [
        draw_step(rng, name, f"w{n}", parents_of[name], n + 1, lenient=lenient)
        for n, name in enumerate(names)
    ]
    dynamic = None
    if step_edges and rng.random() < 0.25:
        dynamic = draw_dynamic(rng, step_edges, names)
    templates = list(dynamic.templates) if dynamic else []
    agents = [draw_agent(rng, step.agent_id) for step in [*steps, *templates]]
    edges = draw_edges(rng, names, step_edges, dynamic)
    if rng.random() < 0.2:
        steps = [double(rng, step, agents, edges) if rng.random() < 0.4 else step for step in steps]
    if rng.random() < 0.9:
        sink = {"complete_on_message": True, "terminal_sink": True, "complete_run": True}
        agents.append(Agent(agent_id="sink", kind=AgentKind.AGGREGATOR, config=sink))
        leaves = [name for name in names if all(e.source != name for e in step_edges)]
        for name in names:
            if rng.random() < (0.85 if name in leaves else 0.05):
                edges.append(_edge(f"w{name[1:]}", "sink", "*"))
    if rng.random() < 0.2:
        agents.append(Agent(agent_id="free", kind=AgentKind.EXECUTOR, config={}))
        edges += [_edge(f"w{rng.choice(names)[1:]}", "free", rng.choice(["*", "out"]))]
        edges += [_edge("free", f"w{rng.choice(names)[1:]}", "*")]
    roots = [name for name in names if not parents_of[name]]
    entries = [f"w{name[1:]}" for name in roots if name == "s0" or rng.random() < 0.8]
    seeds = {
        name: [{"token": f"seed:{name}:{n}"} for n in range(rng.choice([1, 1, 1, 2]))]
        for name in entries
    }
    return JobSpec(
        blueprint_id="trial",
        graph_id="trial_v1",
        job_name="trial",
        generation="C",
        job_type="service" if rng.random() < 0.1 else "batch",
        agents=agents,
        edges=edges,
        entrypoints=entries,
        seeds=seeds,
        workflow=Workflow(
            steps=steps,
            edges=step_edges,
            mode="dynamic_dag" if dynamic else "static_dag",
            source="s0",
            sink=names[-1],
            max_parallel_steps=rng.choice([1, 2, 3]) if rng.random() < 0.15 else None,
            dynamic=dynamic,
        ),
    )


def double(rng: Random, step: Step, agents: list[Agent], edges: list[Edge]) -> Step:
    """Return the step with a second agent; some of its messages go there, or come from there."""
    first, second = step.agent_id, f"x{step.agent_id[1:]}"
    patient = {"workflow_complete_step": False}
    agents[:] = [
        Agent(agent_id=first, kind=one.kind, config={**one.config, **patient})
        if one.agent_id == first and rng.random() < 0.8
        else one
        for one in agents
    ]
    agents.append(draw_agent(rng, second))
    for one in list(edges):
        if one.sender == first and rng.random() < 0.6:
            edges.append(_edge(second, one.target, one.message_type))
        if one.target == first and one.sender != first and rng.random() < 0.4:
            edges.append(_edge(one.sender, second, one.message_type))
    edges.append(_edge(first, second, rng.choice(["*", "*", "*", "out"])))
    if rng.random() < 0.2:
        edges.append(_edge(second, first, "*"))
    members = {name: getattr(step, name) for name in step.__struct_fields__}
    return Step(**{**members, "agent_ids": [first, second]})


def _edge(sender: str, target: str, message_type: str) -> Edge:
    edge_id = f"{sender}__{target}"
    return Edge(edge_id=edge_id, sender=sender, target=target, message_type=message_type)


def draw_edges(
    rng: Random, names: list[str], step_edges: list[StepEdge], dynamic: Dynamic | None
) -> list[Edge]:
    """Agent edges: mostly along the edges of the steps; some lack, some lead elsewhere."""
    pairs = [(f"w{e.source[1:]}", f"w{e.target[1:]}") for e in step_edges if rng.random() < 0.85]
    if rng.random() < 0.3:
        pairs.append((f"w{rng.choice(names)[1:]}", f"w{rng.choice(names)[1:]}"))
    if dynamic is not None:
        leaving = dynamic.regions[0].exit or ""
        pairs += [(f"w{t.step_id}", f"w{leaving[1:]}") for t in dynamic.templates]
    types = ["*", "*", "*", "executor_result", "out", "sorry", "never"]
    return [_edge(a, b, rng.choice(types)) for a, b in dict.fromkeys(pairs)]


# ---- what workers say ----


def draw_outcome(rng: Random, ledger: Ledger, agent: str, label: str) -> Outcome:
    chance = rng.random()
    if agent == "free":
        chance = 1.0
    if chance < 0.12:
        error = {"error": f"no luck of {label}", "exit_code": 3, "attempts": 1}
        return Outcome(status=OutcomeStatus.FAILED, error=error)
    if chance < 0.15:
        return Outcome(status=OutcomeStatus.STOPPED)
    result = {"sandbox_name": "box", "exit_code": 0, "stdout": label, "attempts": 1}
    return Outcome(
        status=OutcomeStatus.SUCCEEDED,
        result=result,
        structured=draw_structured(rng, ledger, agent, label),
    )


def draw_structured(rng: Random, ledger: Ledger, agent: str, label: str) -> Structured | None:
    events, completions, emissions = [], [], []
    flight = ledger.flights[agent]
    patches = is_controller(ledger, flight["step"]) and rng.random() < 0.6
    if patches or rng.random() < 0.4:
        events = [draw_event(rng, ledger, flight) for _ in range(rng.choice([1, 1, 1, 2]))]
    waits = ledger.agents[agent].config.get("workflow_complete_step") is False
    if rng.random() < (0.6 if waits else 0.15):
        value = rng.choice([{"confidence": 0.25}, {"outputs": {"confidence": 0.75}}, {}, "text"])
        scope = "run" if rng.random() < 0.2 else "step"
        completions = [Completion(scope=scope, default=rng.random() < 0.5, value=value)]
    if rng.random() < 0.12:
        to = rng.choice([None, None, rng.choice(list(ledger.agents))])
        if to is not None and to.startswith("wt"):
            to = None
        type_ = rng.choice(["out", "other"])
        emissions = [Emission(type=type_, to=to, body={"token": f"{label}/0"})]
    if not (events or completions or emissions):
        return None
    return Structured(events=events, completions=completions, emissions=emissions)


def is_controller(ledger: Ledger, step: str) -> bool:
    regions = ledger.flow.dynamic.regions if ledger.flow.dynamic else []
    return any(region.controller == step for region in regions)


def draw_event(rng: Random, ledger: Ledger, flight: dict[str, Any]) -> NamedEvent:
    """Return a structured event that a worker of this step might publish."""
    step = flight["step"]
    children = [edge["to"] for edge in ledger.out_of(step)]
    if step is None:
        payload = {"step": rng.choice(ledger.order)} if rng.random() < 0.5 else {}
        kind = rng.choice(["completed", "partial", "skipped", "failed"])
        return NamedEvent(type=f"workflow_step_{kind}", payload=payload)
    if is_controller(ledger, step) and rng.random() < 0.7:
        if rng.random() < 0.1:
            return NamedEvent(type="workflow_controller_checkpoint", payload={})
        return NamedEvent(type="workflow_graph_patch", payload=draw_patch(rng, ledger, step))
    kind = rng.choice(
        ["failed", "partial", "skipped", "completed", "about"]
        if not children
        else [
            "branch", "branch", "branch", "scatter", "scatter", "scatter", "skipped", "partial",
            "failed", "failed", "completed", "attempt_completed", "about", "told", "checkpoint",
        ]
    )  # fmt: skip
    payload: dict[str, Any] = {}
    match kind:
        case "branch":
            chosen = [name for name in children if rng.random() < 0.5]
            if len(chosen) == 1 and rng.random() < 0.3:
                payload = {"branch": chosen[0]}
            else:
                payload = {"branches": chosen}
        case "scatter":
            payload = draw_scatter(rng, ledger, step, children)
        case "skipped":
            payload = {"skip_downstream": rng.random() < 0.5}
        case "partial" | "completed" | "attempt_completed":
            payload = {"note": 1}
        case "failed":
            payload = {"reason": "said so"}
        case "about":
            kind = rng.choice(["completed", "partial", "skipped", "failed", "branch"])
            payload = {rng.choice(["step", "step_id", "phase"]): rng.choice(ledger.order)}
            if kind == "branch":
                payload["branches"] = []
        case "told":
            return NamedEvent(type="told", payload={})
        case "checkpoint":
            return NamedEvent(type="workflow_controller_checkpoint", payload={})
    if rng.random() < 0.08:
        payload["attempt_id"] = rng.choice([flight["attempt"], f"{step}:attempt:9"])
    if rng.random() < 0.1 and "phase" not in payload:
        payload["phase"] = "no_step_at_all"
    return NamedEvent(type=f"workflow_step_{kind}", payload=payload)


def draw_scatter(rng: Random, ledger: Ledger, step: str, children: list[str]) -> dict[str, Any]:
    regions = ledger.flow.dynamic.regions if ledger.flow.dynamic else []
    taken = [name for region in regions for name in (region.controller, region.exit)]
    fit = [
        name
        for name in children
        if ledger.steps[name]["status"] not in ACTIVE
        and ledger.steps[name]["region"] is None
        and name not in taken
    ]
    targets = rng.sample(fit, rng.randint(1, min(2, len(fit)))) if fit else []
    if rng.random() < 0.08:
        targets = [*targets, rng.choice(["ghost", "s0"])]
        targets = [name for name in targets if name != step]
    items = [{"n": n} for n in range(rng.choice([0, 1, 2, 3, 3, 5]))]
    payload: dict[str, Any] = {"targets": targets, "items": items}
    if len(targets) == 1 and rng.random() < 0.3:
        payload = {"target": targets[0], "items": items}
    if rng.random() < 0.05:
        payload["items"] = "no list"
    if rng.random() < 0.08:
        payload["max_items"] = 2
    return payload


def draw_patch(rng: Random, ledger: Ledger, step: str) -> dict[str, Any]:
    """Return a patch of the step's region; sometimes one that must be refused."""
    assert ledger.flow.dynamic is not None
    if ledger.patches and rng.random() < 0.2:
        known = rng.choice(list(ledger.patches.values()))["payload"]
        more = {"op": "add_step", "id": "another", "template": "t0", "with": {}}
        return (
            {**known, "operations": [*known["operations"], more]} if rng.random() < 0.3 else known
        )
    region = rng.choice([r for r in ledger.flow.dynamic.regions if r.controller == step])
    number = len(ledger.events)
    made = [f"d{number}.{n}" for n in range(rng.choice([1, 1, 2, 3]))]
    operations: list[dict[str, Any]] = [
        {"op": "add_step", "id": name, "template": rng.choice(region.templates), "with": {"n": 1}}
        for name in made
    ]
    if region.strategy == "replace_path":
        here = {edge["id"] for edge in ledger.edges}
        operations = [
            *({"op": "remove_edge", "id": name} for name in region.mutable_edges if name in here),
            *operations,
        ]
        chained = rng.random() < 0.5
        for n, name in enumerate(made):
            before = made[n - 1] if chained and n else step
            operations.append(draw_edge(rng, f"{name}.in", before, name))
            if not chained or name == made[-1]:
                operations.append(draw_edge(rng, f"{name}.out", name, region.exit))
    else:
        for name in made:
            operations.append(draw_edge(rng, f"{name}.in", step, name))
            if region.exit is not None:
                operations.append(draw_edge(rng, f"{name}.out", name, region.exit))
    patch = {
        "patch_id": f"p{number}",
        "region_id": region.region_id,
        "base_revision": ledger.revision,
        "operations": operations,
    }
    match rng.choice([*["right"] * 12, "revision", "template", "circle", "dangling", "missing"]):
        case "revision":
            patch["base_revision"] += 1
        case "template":
            operations[-1] = {"op": "add_step", "id": "x", "template": "none", "with": {}}
        case "circle":
            back = {"op": "add_edge", "id": "back", "from": made[-1], "to": made[-1]}
            if len(made) > 1:
                operations += [
                    {"op": "add_edge", "id": "to", "from": made[0], "to": made[1]},
                    {"op": "add_edge", "id": "fro", "from": made[1], "to": made[0]},
                ]
            else:
                operations.append(back)
        case "dangling":
            operations.append({"op": "add_edge", "id": "e", "from": made[0], "to": "nowhere"})
        case "missing":
            operations.append({"op": "remove_edge", "id": "nothing"})
    return patch


def draw_edge(rng: Random, name: str, source: str, target: str | None) -> dict[str, Any]:
    edge: dict[str, Any] = {"op": "add_edge", "id": name, "from": source, "to": target}
    if rng.random() < 0.2:
        edge["accepts"] = ["done", "partial"]
    return edge


# ---- moves ----


def draw_move(rng: Random, ledger: Ledger, number: int) -> Move | None:
    """Return what happens next; None when the history is over."""
    if ledger.status in OVER or number >= MOST_MOVES:
        return None
    if number == 0:
        return Move(kind="submit", at=100.0)
    timers = ledger.timers()
    out = [name for name, flight in ledger.flights.items() if not flight["parked"]]
    if not out and not timers and ledger.status == "running" and rng.random() < 0.3:
        return None  # a service that nobody has work for
    at = ledger.now + rng.choice([0.0, 0.125, 0.75, 3.0])
    if timers and timers[0][0] <= ledger.now:
        return Move(kind="timer", at=ledger.now)
    if timers and timers[0][0] <= at:
        at = ledger.now
    kinds = ["end"] * 40 * bool(out) + ["said"] * 5 * bool(out) + ["beacon"] * 4 * bool(out)
    kinds += ["timer"] * (6 if out else 40) * bool(timers)
    kinds += ["resume"] * 8 if ledger.status == "paused" else ["pause"] * 2
    kinds += ["send"] * 2 + ["late"] * 3 + ["again", "again"]
    safe = ledger.status == "running" and not any(map(ledger.finishes_when_paused, out))
    kinds += ["crash"] * 3 * safe + ["cancel"] * (rng.random() < 0.1)
    match rng.choice(kinds):
        case "end":
            agent = rng.choice(out)
            label = f"n{number}"
            outcome = draw_outcome(rng, ledger, agent, label)
            return Move(kind="end", at=at, agent=agent, label=label, outcome=outcome)
        case "said":
            agent = rng.choice(out)
            event = draw_event(rng, ledger, ledger.flights[agent])
            return Move(kind="said", at=at, agent=agent, event=event)
        case "beacon":
            ms = rng.choice([None, None, 8000.0])
            return Move(kind="beacon", at=at, agent=rng.choice(out), timeout_ms=ms)
        case "send":
            step = rng.choice(ledger.order)
            agent = rng.choice(ledger.steps[step]["agents"])
            named = step if rng.random() < 0.6 else rng.choice([None, None, "ghost"])
            if ledger.steps[step]["region"] is not None:
                named = step
            return Move(kind="send", at=at, agent=agent, label=f"n{number}", step=named)
        case "timer":
            return Move(kind="timer", at=timers[0][0])
        case "late":
            kind = rng.choice(["late", "late_said", "late_beacon"])
            event = NamedEvent(type="workflow_step_completed", payload={})
            return Move(kind=kind, at=at, pick=rng.random(), event=event)
        case "again" if ledger.requests:
            kind = rng.choice(["pause", "resume"])
            return Move(kind=kind, at=at, request_id=rng.choice(ledger.requests))
        case "crash":
            asked = f"r{number}" if rng.random() < 0.2 else ""
            down_s = rng.choice([0.0, 1.0, 10.0, 400.0])
            return Move(kind="crash", at=ledger.now + down_s, request_id=asked)
        case "pause" | "resume" | "cancel" as kind:
            return Move(kind=kind, at=at, request_id=f"r{number}")
        case _:
            kind = "resume" if ledger.status == "running" else "pause"
            return Move(kind=kind, at=at, request_id=f"n{number}")
