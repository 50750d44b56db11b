"""A step's graph, compiled into agents and edges between them.

Source: bundle format 2.6.3, the compile table.
"""

import json
from itertools import pairwise
from typing import Any

from msgspec import Struct, field, structs

from mnedge.bundle.config import copied
from mnedge.bundle.source.flows import alias_of
from mnedge.bundle.subject import JsonObject, listing, mapping

_NO_STEP: JsonObject = {
    "input": {"fields": {}},
    "flow": {},
    "output": {"fields": {}},
}


class Call(Struct, frozen=True, kw_only=True):
    """A place where an agent of the registry works."""

    node_id: str
    agent_id: str
    """Its name in the registry."""
    handler: str
    parameters: JsonObject
    role: str
    failure_message_type: str | None = None

    @property
    def output_type(self) -> str:
        """Type of the message that it answers with."""
        return completed(self.node_id)


class StepGraph(Struct, kw_only=True):
    """What a step came to. The nodes of `calls` are made as workers are."""

    start: str
    end: str
    calls: list[Call] = field(default_factory=list)
    hooks: list[Call] = field(default_factory=list)
    control: list[JsonObject] = field(default_factory=list)
    """Routers and joins, complete nodes."""
    boundary: list[JsonObject] = field(default_factory=list)
    """The start and the end, complete nodes."""
    edges: list[JsonObject] = field(default_factory=list)

    @property
    def agent_ids(self) -> list[str]:
        """Every agent of the step: its start first, its end last."""
        names = [
            self.start,
            *(call.node_id for call in (*self.calls, *self.hooks)),
            *(str(node["node_id"]) for node in self.control),
            self.end,
        ]
        return list(dict.fromkeys(names))


class _Exit(Struct, frozen=True):
    """Where a flow ends: the agent, and the type of what it sends on."""

    node_id: str
    message_type: str


class _Ends(Struct, frozen=True):
    entry: str
    exit: _Exit


def completed(name: str) -> str:
    """Return the type of the message that says something is done."""
    return f"{name}_completed"


def compiled(
    step_id: str,
    definition: JsonObject | None,
    *,
    module: str,
    needs: list[str],
    emits: str,
    registry: JsonObject,
) -> StepGraph:
    """Return the agents and edges of a step whose definition was checked before.

    Without a definition (it was not looked at) only the start and the end are there.
    """
    step = _NO_STEP if definition is None else definition
    graph = StepGraph(start=f"{step_id}__start", end=f"{step_id}__end")
    compiler = _Compiler(step_id, graph, registry)
    last = _Exit(graph.start, completed(graph.start))
    hook = mapping(step["input"]).get("hook")
    if hook:
        last = compiler.hook("input_adapter", f"{module}:{hook}", "step_input_adapter", last)
    if step["flow"]:
        ends = compiler.flow(step["flow"], "")
        compiler.edge(last, ends.entry)
        last = ends.exit
    hook = mapping(step["output"]).get("hook")
    if hook:
        last = compiler.hook("output_adapter", f"{module}:{hook}", "step_output_adapter", last)
    compiler.edge(last, graph.end)
    graph.boundary = [
        _boundary(
            (graph.start, "step_source", "generic", "step_start"),
            {"step_id": step_id, "required_upstreams": list(needs)},
            step["input"],
            completed(graph.start),
        ),
        _boundary(
            (graph.end, "step_sink", "reduce", "step_end"),
            {"step_id": step_id},
            step["output"],
            emits,
        ),
    ]
    return graph


def _boundary(
    names: tuple[str, str, str, str], config: JsonObject, part: JsonObject, emits: str
) -> JsonObject:
    node_id, agent_type, kind, role = names
    return {
        "node_id": node_id,
        "agent_type": agent_type,
        "type": kind,
        "role": role,
        "config": {
            **config,
            "fields": copied(mapping(part.get("fields"))),
            "schema": copied(mapping(part.get("schema"))),
            "output_message_type": emits,
        },
    }


class _Compiler:
    """Walks one flow; numbers what it makes in the order of making."""

    def __init__(self, step_id: str, graph: StepGraph, registry: JsonObject) -> None:
        self.step_id = step_id
        self.graph = graph
        self.registry = registry
        self.count = 0

    def flow(self, flow: JsonObject, suffix: str) -> _Ends:
        """Make the agents of a flow and the edges inside it."""
        match flow["type"]:
            case "agent":
                return self.agent(flow, suffix)
            case "sequence":
                return self.sequence(listing(flow["items"]), suffix)
            case "parallel":
                return self.parallel(listing(flow["items"]), suffix)
            case "choice":
                return self.choice(flow, suffix)
            case "fallback":
                return self.fallback(flow, suffix)
            case _:
                return self.loop(flow, suffix)

    def agent(self, flow: JsonObject, suffix: str) -> _Ends:
        """Make one call."""
        name = str(flow["agent_id"])
        entry = mapping(self.registry.get(name))
        node_id = f"{self.step_id}__{alias_of(flow)}{_joined(suffix)}"
        call = Call(
            node_id=node_id,
            agent_id=name,
            handler=str(entry.get("handler", "")),
            parameters=copied(mapping(entry.get("with"))),
            role=str(entry.get("role") or entry.get("name") or name),
        )
        self.graph.calls.append(call)
        return _Ends(node_id, _Exit(node_id, call.output_type))

    def sequence(self, items: list[JsonObject], suffix: str) -> _Ends:
        """Make the items, each behind the one before."""
        made = [self.flow(item, suffix) for item in items]
        for before, after in pairwise(made):
            self.edge(before.exit, after.entry)
        return _Ends(made[0].entry, made[-1].exit)

    def parallel(self, items: list[JsonObject], suffix: str) -> _Ends:
        """Make a fork, the items side by side, and a join that waits for all of them."""
        fork = self.router("fork", "step_parallel_fork", suffix)
        join = self.named("join", suffix)
        exits = []
        for item in items:
            made = self.flow(item, suffix)
            self.edge(fork.exit, made.entry)
            self.edge(made.exit, join)
            exits.append(made.exit.node_id)
        prefix = f"{self.step_id}__"
        self.node(
            join,
            "step_join",
            "step_parallel_join",
            {
                "expected_sources": exits,
                "output_keys": {name: name.removeprefix(prefix) for name in exits},
                "output_message_type": completed(join),
            },
            after=fork.entry,
        )
        return _Ends(fork.entry, _Exit(join, completed(join)))

    def choice(self, flow: JsonObject, suffix: str) -> _Ends:
        """Make a router with an edge per case, and a router where they meet again."""
        choice = self.router("choice", "step_choice", suffix)
        merge = self.router("merge", "step_choice_merge", suffix)
        conditions = []
        for key, case in mapping(flow["cases"]).items():
            condition = {**mapping(flow["predicate"]), "value": _case_value(key)}
            conditions.append(condition)
            self.branch(choice, self.flow(case, suffix), merge, condition)
        otherwise = {"not": {"any": conditions}}
        self.branch(choice, self.flow(flow["default"], suffix), merge, otherwise)
        return _Ends(choice.entry, merge.exit)

    def branch(self, choice: _Ends, made: _Ends, merge: _Ends, condition: JsonObject) -> None:
        """Join one way through a choice to both of its ends."""
        self.edge(choice.exit, made.entry, condition)
        self.edge(made.exit, merge.entry)

    def fallback(self, flow: JsonObject, suffix: str) -> _Ends:
        """Make the primary, and the recovery that the first failure inside it starts."""
        before = len(self.graph.calls)
        primary = self.flow(flow["primary"], suffix)
        inside = range(before, len(self.graph.calls))
        recovery = self.flow(flow["recovery"], suffix)
        trigger = self.named("fallback_trigger", suffix)
        self.node(
            trigger,
            "step_join",
            "step_fallback_trigger",
            {
                "completion_mode": "first",
                "passthrough": True,
                "output_message_type": completed(trigger),
            },
        )
        merge = self.router("fallback_merge", "step_fallback_merge", suffix)
        for index in inside:
            call = self.graph.calls[index]
            if call.failure_message_type is not None:
                continue  # a fallback inside this one has it already
            failed = f"{call.node_id}_failed"
            self.graph.calls[index] = _failing(call, failed)
            self.edge(_Exit(call.node_id, failed), trigger)
        self.edge(_Exit(trigger, completed(trigger)), recovery.entry)
        self.edge(primary.exit, merge.entry)
        self.edge(recovery.exit, merge.entry)
        return _Ends(primary.entry, merge.exit)

    def loop(self, flow: JsonObject, suffix: str) -> _Ends:
        """Make every round, a gate behind each, and what happens when all of them are used up."""
        until = mapping(flow["until"])
        again = {"not": until}
        count = int(flow["max_rounds"])
        rounds = [self.flow(flow["flow"], f"{suffix}r{n + 1}") for n in range(count)]
        merge = self.router("loop_merge", "step_loop_merge", suffix)
        gates = [self.router(f"loop_gate_{n + 1}", "step_loop_gate", suffix) for n in range(count)]
        for n, (made, gate) in enumerate(zip(rounds, gates, strict=True)):
            self.edge(made.exit, gate.entry)
            self.edge(gate.exit, merge.entry, until)
            if n + 1 < count:
                self.edge(gate.exit, rounds[n + 1].entry, again)
        if flow.get("on_exhausted") is not None:
            made = self.flow(flow["on_exhausted"], suffix)
            self.edge(gates[-1].exit, made.entry, again)
            self.edge(made.exit, merge.entry)
        else:
            exhausted = self.named("loop_exhausted", suffix)
            self.node(
                exhausted,
                "step_join",
                "step_loop_exhausted",
                {"fail_on_message": True, "failure_reason": "bounded loop exhausted"},
            )
            self.edge(gates[-1].exit, exhausted, again)
        return _Ends(rounds[0].entry, merge.exit)

    def hook(self, name: str, handler: str, role: str, before: _Exit) -> _Exit:
        """Make an agent that adapts what comes in or goes out."""
        node_id = f"{self.step_id}__{name}"
        call = Call(node_id=node_id, agent_id=role, handler=handler, parameters={}, role=role)
        self.graph.hooks.append(call)
        self.edge(before, node_id)
        return _Exit(node_id, call.output_type)

    def named(self, word: str, suffix: str) -> str:
        """Return a fresh id."""
        self.count += 1
        return f"{self.step_id}__{word}_{self.count}{_joined(suffix)}"

    def router(self, word: str, role: str, suffix: str) -> _Ends:
        """Make a router; it is its own entry and exit."""
        node_id = self.named(word, suffix)
        self.node(node_id, "router", role, {"emit_type": completed(node_id)})
        return _Ends(node_id, _Exit(node_id, completed(node_id)))

    def node(
        self, node_id: str, agent_type: str, role: str, config: JsonObject, *, after: str = ""
    ) -> None:
        """Keep a control node, at the end or right after another."""
        node = {
            "node_id": node_id,
            "agent_type": agent_type,
            "type": "map" if agent_type == "router" else "reduce",
            "role": role,
            "config": config,
        }
        ids = [str(one["node_id"]) for one in self.graph.control]
        self.graph.control.insert(ids.index(after) + 1 if after else len(ids), node)

    def edge(self, sender: _Exit, target: str, condition: JsonObject | None = None) -> None:
        """Keep an edge; one with a condition is taken only if none before it was."""
        edge: JsonObject = {
            "edge_id": f"{sender.node_id}_to_{target}",
            "from_node": sender.node_id,
            "to_node": target,
            "message_type": sender.message_type,
        }
        if condition is not None:
            edge |= {"conditions": copied(condition), "routing_mode": "first_match"}
        self.graph.edges.append(edge)


def _joined(suffix: str) -> str:
    return f"__{suffix}" if suffix else ""


def _case_value(key: str) -> Any:
    """Return the value a case stands for: its key read as JSON, else the key itself."""
    try:
        return json.loads(key)
    except ValueError:
        return key


def _failing(call: Call, message_type: str) -> Call:
    return structs.replace(call, failure_message_type=message_type)
