"""The agent graph of an expanded source.

Source: bundle format 2.6.2.
"""

from typing import Any

from msgspec import Struct, field

from mnedge.bundle.config import copied
from mnedge.bundle.source.graphs import StepGraph
from mnedge.bundle.source.steps import mutable_edges
from mnedge.bundle.source.workers import in_full, message_type_of
from mnedge.bundle.subject import JsonObject, is_text, listing, mapping, objects

SCHEMA = "mn.agents.communication_graph/v1"
TERMINAL = "workflow__terminal"
_CONSUMED = ("extra_nodes", "extra_edges", "extra_templates", "nodes", "edges", "entrypoints")


class Drawn(Struct, kw_only=True):
    """Steps with their agents, before they are joined."""

    source: JsonObject
    workflow: JsonObject
    """The workflow as it will be in the manifest, its edges included."""
    steps: list[JsonObject]
    workers: list[JsonObject]
    """Agents of steps and templates."""
    templates: list[JsonObject] = field(default_factory=list)
    """Steps that are only made while the job runs."""
    graphs: dict[str, StepGraph] = field(default_factory=dict)

    @property
    def agents(self) -> JsonObject:
        """What the source says about agents."""
        return mapping(self.source.get("agents"))

    def listed(self, name: str) -> list[Any]:
        """Return one of the lists that are taken over as they are."""
        found: list[Any] = copied(listing(self.agents.get(name)))
        return found

    def entry_of(self, step_id: str, known: set[str]) -> str | None:
        """Return the agent that a step's messages are sent to."""
        if step_id in self.graphs:
            return self.graphs[step_id].start
        return self._node_of(step_id, known)

    def exit_of(self, step_id: str, known: set[str]) -> str | None:
        """Return the agent that sends what a step comes to."""
        if step_id in self.graphs:
            return self.graphs[step_id].end
        return self._node_of(step_id, known)

    def _node_of(self, step_id: str, known: set[str]) -> str | None:
        step = next((step for step in self.steps if step["id"] == step_id), {})
        names = (step.get("agent_id"), step.get("run"), step_id)
        return next((name for name in names if is_text(name) and name in known), None)


def agent_graph(drawn: Drawn) -> JsonObject:
    """Return `agents`: nodes, edges, entrypoints, and what the source says besides."""
    nodes = [
        *drawn.workers,
        *(in_full(node) for _, node in objects(drawn.listed("extra_templates"))),
        *(node for graph in drawn.graphs.values() for node in (*graph.control, *graph.boundary)),
        *drawn.listed("nodes"),
        *drawn.listed("extra_nodes"),
    ]
    nodes = _unique(nodes, "node_id")
    known = {str(node.get("node_id")) for node in nodes if isinstance(node, dict)}
    edges = _edges_of_steps(drawn, known)
    edges += [edge for graph in drawn.graphs.values() for edge in graph.edges]
    if drawn.graphs and not any(is_terminal(node) for node in nodes):
        nodes.append(_terminal(drawn))
        edges += _edges_to_terminal(drawn, known)
    edges += [*drawn.listed("edges"), *drawn.listed("extra_edges")]
    entrypoints = drawn.agents.get("entrypoints")
    return {
        "schema": SCHEMA,
        **{name: copied(value) for name, value in drawn.agents.items() if name not in _CONSUMED},
        "entrypoints": copied(entrypoints) if listing(entrypoints) else _starts(drawn, known),
        "nodes": nodes,
        "edges": edges,
    }


def is_terminal(node: Any) -> bool:
    """Tell whether an agent ends the run."""
    node = mapping(node)
    return any(mapping(node.get(part)).get("terminal_sink") is True for part in ("config", "with"))


def step_sinks(drawn: Drawn) -> list[JsonObject]:
    """Return the steps that no other step depends on."""
    left = {edge.get("from") for _, edge in objects(drawn.workflow.get("edges"))}
    return [step for step in drawn.steps if step["id"] not in left]


def _edges_of_steps(drawn: Drawn, known: set[str]) -> list[JsonObject]:
    """Return an edge per step edge, but for those a graph patch may take, and those given."""
    mutable = mutable_edges(drawn.workflow)
    given = {
        tuple(str(edge.get(key)) for key in ("from_node", "to_node", "message_type"))
        for _, edge in objects(drawn.listed("extra_edges"))
    }
    edges = []
    for _, edge in objects(drawn.workflow.get("edges")):
        source, target = str(edge.get("from")), str(edge.get("to"))
        sender, receiver = drawn.exit_of(source, known), drawn.entry_of(target, known)
        message_type = edge.get("message_type") or edge.get("event") or f"{source}_completed"
        if sender is None or receiver is None or edge.get("id") in mutable:
            continue
        if (sender, receiver, str(message_type)) not in given:
            edges.append(
                {
                    "edge_id": edge.get("id") or f"{source}_to_{target}",
                    "from_node": sender,
                    "to_node": receiver,
                    "message_type": message_type,
                }
            )
    return edges


def _terminal(drawn: Drawn) -> JsonObject:
    return {
        "node_id": TERMINAL,
        "agent_type": "aggregator",
        "type": "reduce",
        "role": "workflow_terminal_sink",
        "config": {
            "complete_after": len(step_sinks(drawn)),
            "complete_run": True,
            "terminal_sink": True,
        },
    }


def _edges_to_terminal(drawn: Drawn, known: set[str]) -> list[JsonObject]:
    return [
        {
            "edge_id": f"{sender}_to_{TERMINAL}",
            "from_node": sender,
            "to_node": TERMINAL,
            "message_type": message_type_of(step),
        }
        for step in step_sinks(drawn)
        if (sender := drawn.exit_of(str(step["id"]), known)) is not None
    ]


def _starts(drawn: Drawn, known: set[str]) -> list[str]:
    """Return the agents of the steps that need no other."""
    targets = {edge.get("to") for _, edge in objects(drawn.workflow.get("edges"))}
    found = [
        drawn.entry_of(str(step["id"]), known)
        for step in drawn.steps
        if not listing(step.get("needs")) and step["id"] not in targets
    ]
    return list(dict.fromkeys(name for name in found if name is not None))


def _unique(nodes: list[Any], key: str) -> list[Any]:
    """Return the nodes; where two share an id, the one said last stands in the first's place."""
    found: dict[Any, Any] = {}
    for position, node in enumerate(nodes):
        name = mapping(node).get(key)
        found[name if is_text(name) else (position,)] = node
    return list(found.values())
