"""Sources made in memory, and what they expand to."""

import copy
from typing import Any

from mnedge.bundle.files import ListedFiles
from mnedge.bundle.source.expand import expand
from mnedge.bundle.source.outcome import Expanded

SOURCE: dict[str, Any] = {
    "apiVersion": "mn.workflow.source/v2",
    "kind": "WorkflowSource",
    "identity": {"id": "night_watch", "name": "Night watch", "category": "water"},
    "intent": {"description": "Watches the river at night.", "problem": "Nobody is awake."},
    "workflow": {
        "steps": [
            {"id": "read_gauge", "needs": [], "run": {"handler": "steps.read_gauge"}},
            {
                "id": "judge",
                "needs": ["read_gauge"],
                "run": {"handler": "steps.judge", "with": {"limit": 3}},
            },
            {"id": "warn", "needs": ["judge"], "run": {"agent": "siren"}},
        ]
    },
    "agents": {
        "extra_nodes": [
            {
                "node_id": "siren",
                "agent_type": "aggregator",
                "type": "reduce",
                "config": {
                    "complete_on_message": True,
                    "terminal_sink": True,
                    "complete_run": True,
                },
            }
        ]
    },
}
CONFIG = {"inputs": {"payload": {"gauge": "G-17"}}, "llm": {"enabled": False}}
STEP = {
    "input": {"fields": {"gauge": {"$ref": "run_input", "path": ["gauge"]}}},
    "flow": {"type": "agent", "agent_id": "looker"},
    "output": {"fields": {"level": {"$ref": "flow_output", "path": ["level"]}}},
}


def source(**changes: Any) -> dict[str, Any]:
    """Return a source of the second version in which all is right, root members changed."""
    return copy.deepcopy(SOURCE) | changes


def steps(*listed: Any) -> dict[str, Any]:
    """Return a source with these steps."""
    made = source()
    made["workflow"]["steps"] = list(listed)
    return made


def with_definition(flow: Any = None, **parts: Any) -> tuple[dict[str, Any], ListedFiles]:
    """Return a source of one step that is defined in a module, and its files."""
    made = steps({"id": "look", "needs": [], "run": {"definition": "steps.look"}})
    made["agents"] = {
        "registry": {
            name: {"handler": f"agents.{name}", "role": name.title(), "with": {"n": 1}}
            for name in ("looker", "a", "b", "c", "d")
        }
    }
    step = copy.deepcopy(STEP) | parts
    if flow is not None:
        step["flow"] = flow
    return made, module(f"STEP = {step!r}")


def module(text: str, name: str = "steps/look.py") -> ListedFiles:
    """Return the files of a bundle with one module in its payloads."""
    return ListedFiles([], {f"payloads/{name}": text.encode()})


def expanded(made: dict[str, Any], files: ListedFiles | None = None, **more: Any) -> Expanded:
    """Return what the source expands to."""
    given = {"config_default": copy.deepcopy(CONFIG)} | more
    return expand(made, files or ListedFiles([]), **given)


def rules(found: Expanded) -> list[str]:
    """Return the broken rules with their weight, `S-03E`, in order."""
    return [problem.rule + problem.severity for problem in found.problems]


def node(found: Expanded, name: str) -> dict[str, Any]:
    """Return one agent."""
    return next(one for one in found.manifest["agents"]["nodes"] if one["node_id"] == name)


def edges(found: Expanded) -> list[tuple[str, str, str]]:
    """Return the agent edges as sender, target, type."""
    return [
        (edge["from_node"], edge["to_node"], edge["message_type"])
        for edge in found.manifest["agents"]["edges"]
    ]
