"""Manifests with steps, generated: whatever they say, it is something that a manifest may say."""

import copy
from typing import Any

from hypothesis import strategies as st

from tests.bundle.making import STATUS_CONTRACT, Parts

RULES = ["all_success", "all_required", "all_done", "any_success", "one_done", "any_failed"]
POLICIES = ["fail_workflow", "fail", "fail_closed", "continue_partial", "partial", "skip", None]
NUMBERS = st.sampled_from([0.5, 1, 2, 30, 900])

retries = st.fixed_dictionaries(
    {},
    optional={
        "max_attempts": st.integers(1, 9),
        "backoff_seconds": st.sampled_from([0, 0.1, 2]),
        "backoff_multiplier": st.sampled_from([1, 1.5, 3]),
        "jitter": st.just(0),
    },
)
controls = st.fixed_dictionaries(
    {},
    optional={
        "required": st.booleans(),
        "timeout_seconds": NUMBERS | st.none(),
        "retry": retries,
        "max_attempts": st.integers(1, 9),
        "retry_backoff_ms": st.sampled_from([0, 250]),
        "beacon_timeout_ms": st.sampled_from([100, 5000]),
        "failure_policy": st.sampled_from(POLICIES),
        "uncertainty": st.fixed_dictionaries(
            {}, optional={"min_confidence": st.floats(0, 1), "on_low_confidence": st.just("warn")}
        ),
    },
)
settings = st.fixed_dictionaries(
    {"command": st.just(["python3", "work.py"]), "output_message_type": st.just("next")},
    optional={
        "timeout_seconds": NUMBERS,
        "max_attempts": st.integers(1, 3),
        "retry_backoff_ms": st.sampled_from([0, 70]),
        "beacon_timeout_ms": st.sampled_from([100, 5000]),
        "runner_module": st.sampled_from(
            ["MirrorNeuron.Runner.HostLocal", "MirrorNeuron.Runner.DockerWorker"]
        ),
        "environment": st.dictionaries(st.sampled_from(["A", "B"]), st.text("xyz", max_size=3)),
    },
)
accepts = st.lists(st.sampled_from(["done", "completed", "partial", "skipped"]), min_size=1)


@st.composite
def triggers(draw: st.DrawFn, parents: int) -> dict[str, Any]:
    """Draw what a step with so many parents says about its start."""
    if parents == 0 or draw(st.booleans()):
        return {}
    quorum = draw(st.integers(1, parents))
    return draw(
        st.sampled_from(
            [
                {"trigger_rule": draw(st.sampled_from(RULES))},
                {"control": {"trigger_rule": draw(st.sampled_from(RULES))}},
                {"join": {"mode": "all_required"}},
                {"join": {"mode": "min_success", "min_success": quorum}},
                {"trigger_rule": {"rule": "quorum_success", "quorum": quorum}},
                {"trigger_rule": {"type": "quorum", "count": str(quorum)}},
                {"trigger_rule": "quorum", "quorum": quorum},
            ]
        )
    )


@st.composite
def workflows(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a manifest of generation C, its graph of steps whole."""
    count = draw(st.integers(1, 6))
    names = [f"s{n}" for n in range(count)]
    parents = [[]] + [
        draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True)) for n in range(1, count)
    ]
    for n in range(count - 1):
        if not any(n in before for before in parents):
            parents[-1].append(n)
    edges = [
        {
            "id": f"e{source}_{target}",
            "from": names[source],
            "to": names[target],
            **draw(st.fixed_dictionaries({}, optional={"accepts": accepts, "event": st.just("x")})),
        }
        for target, before in enumerate(parents)
        for source in before
    ]
    steps = []
    for name, before in zip(names, parents, strict=True):
        trigger = draw(triggers(len(before)))
        control = {**draw(controls), **trigger.pop("control", {})}
        step = {"id": name, "control": control, **trigger}
        naming = draw(st.sampled_from(["id", "run", "agent_id", "agent_ids"]))
        if naming == "agent_ids":
            step["agent_ids"] = [f"a_{name}"]
        elif naming != "id":
            step[naming] = f"a_{name}"
        steps.append((step, name if naming == "id" else f"a_{name}"))
    parts = Parts()
    manifest: dict[str, Any] = parts.manifest
    for key in ("graph_id", "nodes", "edges", "entrypoints", "initial_inputs"):
        del manifest[key]
    agents = [
        {
            "node_id": agent,
            "agent_type": "executor",
            "type": draw(st.sampled_from(["generic", "map", "accumulator"])),
            "config": draw(settings),
        }
        for _, agent in steps
    ]
    sink = {"complete_on_message": True, "terminal_sink": True, "complete_run": True}
    agents.append({"node_id": "end", "agent_type": "collector", "type": "reduce", "config": sink})
    carried = [
        {"edge_id": f"c{n}", "from_node": one["node_id"], "to_node": "end", "message_type": "next"}
        for n, one in enumerate(agents[:-1])
    ]
    manifest.update(
        {
            "apiVersion": draw(st.sampled_from(["mn.workflow/v1", "mn.workflow/v2"])),
            "kind": "Workflow",
            "id": "river_gauge",
            "version": 1,
            "contract": {"inputs": {}, "outputs": {"primary": {}}},
            "workflow": {
                "schema": "mn.workflow.problem_graph/v1",
                "workflow_id": "river_gauge_v1",
                "entrypoint": names[0],
                "source": names[0],
                "sink": names[-1],
                "steps": [step for step, _ in steps],
                "edges": edges,
                "execution": draw(
                    st.sampled_from(
                        ["serial", {"strategy": "parallel", "max_parallel_steps": 3}, "parallel"]
                    )
                ),
            },
            "agents": {
                "schema": "mn.agents.communication_graph/v1",
                "nodes": agents,
                "edges": carried,
                "entrypoints": [agents[0]["node_id"]],
            },
            "runtime": {
                "bindings": {name: {} for name in names},
                "workflow_control": {"enabled": True, "source_of_truth": "workflow.steps"},
            },
        }
    )
    if draw(st.booleans()):
        manifest["type"] = "service"
    if draw(st.booleans()):
        manifest["initial_inputs"] = {agents[0]["node_id"]: [draw(st.integers(-9, 9)), {"a": None}]}
    if draw(st.booleans()):
        liveness = {"interval_ms": 50, "timeout_ms": 200, "required": draw(st.booleans())}
        manifest["runtime"]["workflow_control"]["liveness"] = liveness
    manifest["metadata"]["status_contract"] = STATUS_CONTRACT
    return manifest


def as_flow(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest with everything in `flow`, as generation B-f had it."""
    made = copy.deepcopy(manifest)
    workflow, agents = made.pop("workflow"), made.pop("agents")
    del made["id"], made["version"]
    made["graph_id"] = workflow.pop("workflow_id")
    made["entrypoints"] = agents["entrypoints"]
    made["flow"] = {
        "entrypoint": workflow.pop("entrypoint"),
        "steps": workflow.pop("steps"),
        "graph": workflow,
        "nodes": agents["nodes"],
        "edges": agents["edges"],
    }
    return made


def as_root(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest with its agents at the root, as generation B-r had it."""
    made = as_flow(manifest)
    for key in ("nodes", "edges"):
        made[key] = made["flow"].pop(key)
    return made
