"""Rules about graphs that change while the job runs.

Source: bundle format 2.5.4, 3.10, 3.11.
"""

import re
from collections.abc import Iterator
from typing import Any

from mnedge.bundle.layout import setting, step_edge_list
from mnedge.bundle.problem import At
from mnedge.bundle.rules.registry import ERROR, Found, rule
from mnedge.bundle.rules.workflow import is_dynamic, step_ids
from mnedge.bundle.steps import agent_ids_of, agent_names
from mnedge.bundle.subject import JsonObject, Subject, is_count, is_text, listing, mapping, objects

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
STRATEGIES = ("replace_path", "checkpoint_fanout")
_LIMITS = {
    "max_patches": 100_000,
    "max_active_steps": 1000,
    "max_operations_per_patch": 256,
    "max_instance_input_bytes": 1 << 31,
    "max_history": 10_000,
}


def _dynamic(subject: Subject) -> tuple[At, JsonObject] | None:
    """Return what is declared, with its place; None if the graph is a fixed one."""
    if not is_dynamic(subject):
        return None
    at, declared = setting(subject.graph, "dynamic")
    return at, mapping(declared)


def _templates(declared: Any) -> Iterator[tuple[At, Any, Any]]:
    """Yield place, id and content of each template of an object or list of them."""
    if isinstance(declared, dict):
        for name, template in declared.items():
            yield (name,), name, template
    for index, template in enumerate(listing(declared)):
        yield (index,), mapping(template).get("id"), template


def _is_id(value: Any) -> bool:
    return is_text(value) and ID.fullmatch(value) is not None


@rule(
    "D-01",
    ERROR,
    "BCS",
    "dynamic.missing",
    "a dynamic_dag needs workflow.dynamic, enabled, applied between steps",
    help='write "dynamic": {"enabled": true, "apply_at": "between_steps", …}',
)
def changes_are_declared(subject: Subject) -> Iterator[Found]:
    """Yield if a graph may change and nothing says how."""
    found = _dynamic(subject)
    if found is None:
        return
    at, declared = found
    if declared.get("enabled") is not True:
        yield Found(at=at, expected={"enabled": True})
    elif declared.get("apply_at") != "between_steps":
        yield Found(
            at=(*at, "apply_at"),
            message="apply_at must be between_steps",
            expected="between_steps",
            actual=declared.get("apply_at"),
        )


@rule(
    "D-02",
    ERROR,
    "BCS",
    "dynamic.template",
    "a template of steps is malformed",
    help='write "templates": {"dig": {"run": "dig", "agent_id": "<an agent>"}}',
)
def templates_have_agents(subject: Subject) -> Iterator[Found]:
    """Yield if there are no templates, and what is wrong with each."""
    found = _dynamic(subject)
    if found is None:
        return
    at, declared = found
    templates = declared.get("templates")
    if not templates or not isinstance(templates, dict | list):
        yield Found(at=(*at, "templates"), message="templates must not be empty", actual=templates)
        return
    yield from _template_problems(subject, (*at, "templates"), templates)


def _template_problems(subject: Subject, at: At, templates: Any) -> Iterator[Found]:
    ids = step_ids(subject)
    seen: set[str] = set()
    for below, name, template in _templates(templates):
        place = (*at, *below)
        reason = ""
        if not isinstance(template, dict):
            reason = "must be an object"
        elif not _is_id(name):
            reason = "needs an id of letters, digits, `_`, `.`, `:` and `-`"
        elif name in ids:
            reason = "has the id of a step"
        elif name in seen:
            reason = "has the id of another template"
        elif not is_text(template.get("run")) and not is_text(template.get("agent_id")):
            reason = "needs run or agent_id"
        else:
            named = {**template, "id": name}
            if not set(agent_ids_of(named, subject.agent_ids)) & set(subject.agent_ids):
                reason = f"names no agent: {agent_names(named)[0]}"
        if is_text(name):
            seen.add(name)
        if reason:
            shown = name if is_text(name) else below[0]
            yield Found(
                at=place,
                message=f"template {shown} {reason}"[:300],
                expected=list(subject.agent_ids)[:20] if "agent" in reason else None,
                actual=template,
            )


@rule(
    "D-03",
    ERROR,
    "BCS",
    "dynamic.region",
    "a region is malformed",
    help='write {"id", "strategy", "controller": "<a step>", "templates": ["<a template>"]}',
)
def regions_have_controllers(subject: Subject) -> Iterator[Found]:
    """Yield if there are no regions, and what is wrong with each."""
    found = _dynamic(subject)
    if found is None:
        return
    at, declared = found
    regions = declared.get("regions")
    if not isinstance(regions, list) or not regions:
        yield Found(at=(*at, "regions"), message="regions must not be empty", actual=regions)
        return
    known = {name for _, name, _ in _templates(declared.get("templates")) if is_text(name)}
    seen: set[str] = set()
    for index, region in enumerate(regions):
        place: At = (*at, "regions", index)
        if not isinstance(region, dict):
            yield Found(at=place, message=f"region number {index + 1} must be an object")
            continue
        for key, reason, expected in _wrong_region(region, step_ids(subject), known, seen):
            yield Found(
                at=(*place, key),
                message=f"{key} of region {region.get('id')!r} {reason}"[:300],
                expected=expected,
                actual=region.get(key),
            )
        if is_text(region.get("id")):
            seen.add(region["id"])


def _wrong_region(
    region: JsonObject, steps: dict[str, At], templates: set[str], seen: set[str]
) -> Iterator[tuple[str, str, Any]]:
    name, controller = region.get("id"), region.get("controller")
    if not _is_id(name):
        yield "id", "must be an id of letters, digits, `_`, `.`, `:` and `-`", "a name"
    elif name in seen:
        yield "id", "is that of another region", "a name of its own"
    if region.get("strategy") not in STRATEGIES:
        yield "strategy", "is unknown", list(STRATEGIES)
    if not is_text(controller) or controller not in steps:
        yield "controller", "must be a step", list(steps)[:20]
    named = region.get("templates")
    if not isinstance(named, list) or not named:
        yield "templates", "must not be empty", sorted(templates)[:20]
    elif not all(is_text(one) and one in templates for one in named):
        yield "templates", "must be templates of the workflow", sorted(templates)[:20]


@rule(
    "D-04",
    ERROR,
    "BCS",
    "dynamic.mutable_edges",
    "a region's exit and mutable edges do not fit its strategy",
    help="replace_path needs exit, and mutable_edges from the controller to it",
)
def edges_may_be_replaced(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with where each region leads, and with the edges it owns."""
    found = _dynamic(subject)
    if found is None:
        return
    at, declared = found
    edges = {
        edge["id"]: (edge.get("from"), edge.get("to"))
        for _, edge in objects(step_edge_list(subject.graph)[1])
        if is_text(edge.get("id"))
    }
    owners: dict[str, Any] = {}
    for index, region in objects(declared.get("regions")):
        for key, reason, expected in _wrong_edges(region, step_ids(subject), edges, owners):
            yield Found(
                at=(*at, "regions", index, key),
                message=f"{key} of region {region.get('id')!r} {reason}"[:300],
                expected=expected,
                actual=region.get(key),
            )


def _wrong_edges(
    region: JsonObject,
    steps: dict[str, At],
    edges: dict[str, tuple[Any, Any]],
    owners: dict[str, Any],
) -> Iterator[tuple[str, str, Any]]:
    mutable = region.get("mutable_edges")
    if region.get("strategy") == "checkpoint_fanout":
        if mutable is not None and mutable != []:
            yield "mutable_edges", "belong to replace_path only", None
        return
    if region.get("strategy") != "replace_path":
        return
    leave = region.get("exit")
    if not is_text(leave) or leave not in steps:
        yield "exit", "must be a step", list(steps)[:20]
    if not isinstance(mutable, list) or not mutable:
        yield "mutable_edges", "must not be empty", list(edges)[:20]
        return
    for name in mutable:
        if not is_text(name) or name not in edges:
            yield "mutable_edges", f"names no step edge: {name!r}", list(edges)[:20]
        elif edges[name] != (region.get("controller"), leave):
            yield "mutable_edges", f"{name} does not lead from controller to exit", None
        elif owners.setdefault(name, region) is not region:
            yield "mutable_edges", f"{name} belongs to another region too", None


@rule(
    "D-05",
    ERROR,
    "BCS",
    "dynamic.limits",
    "limits of graph patches are out of range",
    help=f"max_patches 1 to {_LIMITS['max_patches']}, max_active_steps 1 to 1000,"
    " max_operations_per_patch 1 to 256, max_instance_input_bytes from 1, max_history 1 to 10000",
)
def limits_are_in_range(subject: Subject) -> Iterator[Found]:
    """Yield each limit that is no number, or too large."""
    found = _dynamic(subject)
    if found is None:
        return
    at, declared = found
    limits = declared.get("limits")
    if limits is None:
        return
    if not isinstance(limits, dict):
        yield Found(at=(*at, "limits"), message="limits must be an object", actual=limits)
        return
    for name, most in _LIMITS.items():
        value = limits.get(name)
        if value is not None and not (is_count(value, 1) and value <= most):
            yield Found(
                at=(*at, "limits", name),
                message=f"{name} must be a whole number from 1 to {most}",
                expected=f"1 to {most}",
                actual=value,
            )


@rule(
    "D-06",
    ERROR,
    "BCS",
    "dynamic.child_workflow",
    "a child workflow is malformed",
    help='write {"planner": "<a template>", "templates": {…}, "max_rounds": 3,'
    ' "max_steps_per_round": 8}, keyed by the parent step',
)
def child_workflows_are_bounded(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the rounds of planned steps inside a parent step."""
    at, declared = setting(subject.graph, "child_workflows")
    if declared is None:
        return
    if not isinstance(declared, dict):
        yield Found(at=at, message="child_workflows must be an object", actual=declared)
        return
    ids = step_ids(subject)
    for parent, child in declared.items():
        place: At = (*at, parent)
        if parent not in ids:
            yield Found(
                at=place,
                message=f"child workflow of {parent!r}, which is no step"[:300],
                expected=list(ids)[:20],
            )
        if not isinstance(child, dict):
            yield Found(at=place, message="a child workflow must be an object", actual=child)
            continue
        templates = child.get("templates")
        if not templates or not isinstance(templates, dict | list):
            yield Found(at=(*place, "templates"), message="templates must not be empty")
        yield from _template_problems(subject, (*place, "templates"), templates)
        for key, reason, expected in _wrong_child(child):
            yield Found(
                at=(*place, key),
                message=f"{key} of the child workflow of {parent} {reason}"[:300],
                expected=expected,
                actual=child.get(key),
            )


def _wrong_child(child: JsonObject) -> Iterator[tuple[str, str, Any]]:
    names = [name for _, name, _ in _templates(child.get("templates")) if is_text(name)]
    if child.get("planner") not in names:
        yield "planner", "must be one of its templates", names[:20]
    for key, most in (("max_rounds", 20), ("max_steps_per_round", 128)):
        value = child.get(key)
        if not is_count(value, 1) or value > most:
            yield key, f"must be a whole number from 1 to {most}", f"1 to {most}"
    for key in ("inputs", "outputs"):
        paths = child.get(key)
        if paths is not None and not (
            isinstance(paths, dict)
            and all(
                isinstance(path, list) and all(is_text(step) for step in path)
                for path in paths.values()
            )
        ):
            yield key, "must map names to paths, lists of texts", {"<name>": ["<key>"]}
