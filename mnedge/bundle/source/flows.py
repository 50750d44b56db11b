"""Whether a step's graph, as its module serialized it, makes sense.

Source: bundle format 2.6.3, rule S-09.
"""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.conditions import problem_in
from mnedge.bundle.problem import At, dotted
from mnedge.bundle.source.checks import is_handler
from mnedge.bundle.subject import JsonObject, is_count, is_text, listing, mapping

MOST_ROUNDS = 100
MOST_DEPTH = 32
MOST_CALLS = 2000
"""Agents that one step may come to, loops unrolled."""
KINDS = ("agent", "sequence", "parallel", "choice", "fallback", "bounded_loop")
Wrong = Iterator[tuple[At, str]]


def problems_in_step(step: JsonObject, needs: list[str], registry: JsonObject) -> list[str]:
    """Return what is wrong, each with its place inside the step."""
    found = [
        *_contract(step.get("input"), "input", needs),
        *_contract(step.get("output"), "output", needs),
        *_flow(step.get("flow"), ("flow",)),
    ]
    if not found:
        found = [*_agents(step["flow"], registry)]
    return [f"{dotted(at)} {reason}" for at, reason in found]


def calls_in(flow: JsonObject) -> list[JsonObject]:
    """Return every agent of the flow, in order, each once per place where it stands."""
    if flow.get("type") == "agent":
        return [flow]
    return [call for part in parts_of(flow) for call in calls_in(part)]


def parts_of(flow: JsonObject) -> list[JsonObject]:
    """Return the flows directly inside this one."""
    return [part for _, part in _parts(flow) if isinstance(part, dict)]


def alias_of(call: JsonObject) -> str:
    """Return what a call is called inside its step."""
    return str(call.get("alias") or call.get("agent_id"))


def agents_when_unrolled(flow: JsonObject) -> int:
    """Return how many agents the flow comes to."""
    if flow.get("type") == "agent":
        return 1
    inside = sum(agents_when_unrolled(part) for part in parts_of(flow))
    if flow.get("type") != "bounded_loop":
        return inside
    body = agents_when_unrolled(mapping(flow.get("flow")))
    return inside + body * (int(flow["max_rounds"]) - 1)


def _parts(flow: JsonObject) -> list[tuple[At, Any]]:
    match flow.get("type"):
        case "sequence" | "parallel":
            return [(("items", n), item) for n, item in enumerate(listing(flow.get("items")))]
        case "choice":
            cases = mapping(flow.get("cases"))
            return [
                *((("cases", name), case) for name, case in cases.items()),
                (("default",), flow.get("default")),
            ]
        case "fallback":
            return [((name,), flow.get(name)) for name in ("primary", "recovery")]
        case "bounded_loop":
            names = ["flow", *(["on_exhausted"] if flow.get("on_exhausted") is not None else [])]
            return [((name,), flow.get(name)) for name in names]
    return []


def _contract(part: Any, side: str, needs: list[str]) -> Wrong:
    at: At = (side,)
    if not isinstance(part, dict):
        yield at, "must be an object"
        return
    if not isinstance(part.get("fields"), dict):
        yield (*at, "fields"), "must be an object"
    else:
        yield from _references(part["fields"], (*at, "fields"), side, needs)
    if part.get("hook") is not None and not (is_text(part["hook"]) and part["hook"].isidentifier()):
        yield (*at, "hook"), "must name a function of the module"
    schema = part.get("schema")
    if schema is not None and not isinstance(schema, dict):
        yield (*at, "schema"), "must be an object"
    elif schema:
        if schema.get("type", "object") != "object":
            yield (*at, "schema", "type"), "must be object"
        if not all(isinstance(name, str) for name in listing(schema.get("required"))):
            yield (*at, "schema", "required"), "must be a list of names"


def _references(value: Any, at: At, side: str, needs: list[str]) -> Wrong:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, (*at, index), side, needs)
    if not isinstance(value, dict):
        return
    if "$ref" not in value:
        for name, member in value.items():
            yield from _references(member, (*at, name), side, needs)
        return
    kinds = ("run_input", "upstream") if side == "input" else ("flow_output",)
    if value["$ref"] not in kinds:
        yield at, f"refers to {value['$ref']!r}; {side} may refer to {' and '.join(kinds)}"
    elif value["$ref"] == "upstream" and value.get("step_id") not in needs:
        yield at, f"refers to step {value.get('step_id')!r}, which this step does not need"
    path = value.get("path", [])
    if not isinstance(path, list) or not all(isinstance(part, str | int) for part in path):
        yield (*at, "path"), "must be a list of names"


def _flow(flow: Any, at: At) -> Wrong:
    if not isinstance(flow, dict):
        yield at, "must be a flow"
        return
    if len(at) > 2 * MOST_DEPTH:
        yield at, "is nested too deeply"
        return
    kind = flow.get("type")
    if kind not in KINDS:
        yield (*at, "type"), f"must be one of {', '.join(KINDS)}, not {kind!r}"
        return
    yield from _own_members(flow, at)
    for place, part in _parts(flow):
        yield from _flow(part, (*at, *place))


def _own_members(flow: JsonObject, at: At) -> Wrong:
    match flow["type"]:
        case "agent":
            if not is_text(flow.get("agent_id")):
                yield (*at, "agent_id"), "must name an agent"
            if flow.get("alias") is not None and not is_text(flow["alias"]):
                yield (*at, "alias"), "must be a non-empty string"
        case "sequence" | "parallel":
            if not listing(flow.get("items")):
                yield (*at, "items"), "must hold at least one flow"
        case "choice":
            if not mapping(flow.get("cases")):
                yield (*at, "cases"), "must hold at least one case"
            yield from _condition(flow.get("predicate"), (*at, "predicate"))
            if not is_text(mapping(flow.get("predicate")).get("path")):
                yield (*at, "predicate", "path"), "must name what the cases are compared with"
        case "bounded_loop":
            yield from _condition(flow.get("until"), (*at, "until"))
            rounds = flow.get("max_rounds")
            if not is_count(rounds, 1) or rounds > MOST_ROUNDS:
                yield (*at, "max_rounds"), f"must be a whole number from 1 to {MOST_ROUNDS}"


def _condition(condition: Any, at: At) -> Wrong:
    if not isinstance(condition, dict) or not condition:
        yield at, "must be a condition"
        return
    wrong = problem_in(condition)
    if wrong is not None:
        yield (*at, *wrong[0]), wrong[1]


def _agents(flow: JsonObject, registry: JsonObject) -> Wrong:
    count = agents_when_unrolled(flow)
    if count > MOST_CALLS:
        yield ("flow",), f"comes to {count} agents; {MOST_CALLS} are the most"
    seen: set[str] = set()
    for call in calls_in(flow):
        name = call["agent_id"]
        entry = registry.get(name)
        if not isinstance(entry, dict):
            known = ", ".join(registry) or "none"
            yield ("flow",), f"calls agent {name!r}, which agents.registry lacks (known: {known})"
        elif not is_handler(entry.get("handler")):
            yield ("flow",), f"calls agent {name!r}, whose handler {entry.get('handler')!r} is none"
        elif "with" in entry and not isinstance(entry["with"], dict):
            yield ("flow",), f"calls agent {name!r}, whose `with` is no object"
        alias = alias_of(call)
        if alias in seen:
            yield ("flow",), f"calls two agents {alias!r}; give one of them another alias"
        seen.add(alias)
