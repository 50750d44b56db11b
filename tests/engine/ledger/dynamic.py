"""Workflows whose graph may change, and what their controllers say."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mnedge.model.facts import Outcome
from mnedge.model.manifest import Dynamic, DynamicLimits, Edge, JobSpec, Region, Step
from tests.engine.jobs import agent, edge
from tests.engine.ledger.flows import Run, after, flow, said, step


def changing(
    regions: Sequence[Region],
    steps: Sequence[Step],
    edges: Sequence[Any],
    *,
    templates: Sequence[Step] = (),
    limits: dict[str, int] | None = None,
    messages: Sequence[Edge] = (),
    **more: Any,
) -> JobSpec:
    """Return a job with these regions; each template has an agent of its own."""
    templates = list(templates) or [step("dig")]
    names = [name for one in [*steps, *templates] for name in one.agent_ids]
    agents = [
        agent(name, "executor", output_message_type=f"{name}_done") for name in dict.fromkeys(names)
    ]
    along = [edge(one.source, one.target, f"{one.source}_done") for one in edges]
    return flow(
        steps,
        edges,
        agents=agents,
        messages=[*along, *messages],
        workflow={
            "mode": "dynamic_dag",
            "dynamic": Dynamic(
                templates=templates, regions=list(regions), limits=DynamicLimits(**(limits or {}))
            ),
        },
        **more,
    )


def path(name: str = "followups", controller: str = "inspect", leave: str = "report") -> Region:
    return Region(
        region_id=name,
        strategy="replace_path",
        controller=controller,
        exit=leave,
        templates=["dig"],
        mutable_edges=[f"{controller}_to_{leave}"],
    )


def fan(name: str = "fan", controller: str = "decide", leave: str | None = None) -> Region:
    return Region(
        region_id=name,
        strategy="checkpoint_fanout",
        controller=controller,
        exit=leave,
        templates=["dig"],
    )


def inspection(controller: Step | None = None, **more: Any) -> Run:
    """Inspect, then report, with what may be dug up between."""
    steps = [controller or step("inspect"), step("report")]
    return Run(changing([path()], steps, [after("inspect", "report")], **more))


def decision(controller: Step | None = None, **more: Any) -> Run:
    """A controller that fans out, and a report after it."""
    steps = [controller or step("decide"), step("report")]
    return Run(changing([fan()], steps, [after("decide", "report")], **more))


# ---- operations ----


def add_step(name: str, template: str = "dig", **more: Any) -> dict[str, Any]:
    return {"op": "add_step", "id": name, "template": template, **more}


def remove_step(name: str) -> dict[str, Any]:
    return {"op": "remove_step", "id": name}


def add_edge(source: str, target: str, name: str = "", **more: Any) -> dict[str, Any]:
    return {
        "op": "add_edge",
        "id": name or f"{source}-{target}",
        "from": source,
        "to": target,
        **more,
    }


def remove_edge(name: str) -> dict[str, Any]:
    return {"op": "remove_edge", "id": name}


def fanned(*names: str) -> list[dict[str, Any]]:
    """Operations that give a controller `decide` these instances."""
    return [one for name in names for one in (add_step(name), add_edge("decide", name))]


def detour(*names: str) -> list[dict[str, Any]]:
    """Operations that put these instances, in a line, between inspect and report."""
    line = ["inspect", *names, "report"]
    links = [add_edge(a, b) for a, b in pairwise(line)]
    return [remove_edge("inspect_to_report"), *(add_step(name) for name in names), *links]


def patched(
    operations: Any,
    *,
    patch_id: Any = "p-1",
    region_id: Any = "followups",
    base: Any = 0,
    complete: Any = None,
    **more: Any,
) -> Outcome:
    """Return the answer of a controller that publishes this patch."""
    payload = {
        "patch_id": patch_id,
        "region_id": region_id,
        "base_revision": base,
        "operations": operations,
    }
    return said(("workflow_graph_patch", payload), complete=complete, **more)


def fan_out(*names: str, patch_id: str = "p-1", base: int = 0, **more: Any) -> Outcome:
    return patched(fanned(*names), patch_id=patch_id, region_id="fan", base=base, **more)


def checkpointed(**payload: Any) -> Outcome:
    return said(("workflow_controller_checkpoint", payload))
