"""Bundles made in memory: one in which all is right, and cases in which one thing is wrong."""

import copy
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from mnedge.bundle.files import ListedFiles, Unsafe
from mnedge.bundle.load import Bundle, open_files
from mnedge.bundle.problem import Problem, Severity
from mnedge.bundle.rules.all import RULES
from mnedge.bundle.subject import Document

SECTIONS = [
    "state",
    "capabilities",
    "privacy",
    "triggers",
    "backpressure",
    "determinism",
    "schemas",
    "budgets",
    "agent_handoffs",
    "error_handling",
]
ADAPTERS = ["mock", "json", "file", "env_json"]

MANIFEST: dict[str, Any] = {
    "manifest_version": "1.0",
    "graph_id": "river_gauge_v1",
    "job_name": "river-gauge",
    "name": "River gauge",
    "description": "Reads a gauge.",
    "license": "LICENSE.md",
    "term": "TERM.md",
    "requirements": {"cpu": 1, "gpu": 0, "memory": "256 MB", "disk": "1 GB"},
    "input_validation": {"rules": []},
    "entrypoints": ["intake"],
    "initial_inputs": {"intake": [{"gauge": "G-17"}]},
    "nodes": [
        {
            "node_id": "intake",
            "agent_type": "router",
            "type": "map",
            "role": "root_coordinator",
            "config": {"emit_type": "reading_requested"},
        },
        {
            "node_id": "reader",
            "agent_type": "executor",
            "type": "stream",
            "config": {
                "runner_module": "MirrorNeuron.Runner.HostLocal",
                "upload_path": "reader",
                "workdir": "/sandbox/job/reader",
                "command": ["python3", "read.py"],
                "output_message_type": "reading",
            },
        },
        {
            "node_id": "sink",
            "agent_type": "aggregator",
            "type": "reduce",
            "config": {"complete_on_message": True, "terminal_sink": True, "complete_run": True},
        },
    ],
    "edges": [
        {
            "edge_id": "e1",
            "from_node": "intake",
            "to_node": "reader",
            "message_type": "reading_requested",
        },
        {"edge_id": "e2", "from_node": "reader", "to_node": "sink", "message_type": "reading"},
    ],
    "policies": {"recovery_mode": "local_restart"},
    "metadata": {
        "blueprint_id": "river_gauge",
        "name": "River gauge",
        "category": "water",
        "description": "Reads a gauge.",
        "problem_solved": "Nobody reads it.",
        "target_user": "Those downstream.",
        "customizable_for": "Other rivers.",
        "simulation_type": "none",
        "runtime_features": ["executor"],
        "output": "A level.",
        "output_contract": {"artifacts": []},
        "quick_test": {"enabled": True},
        "standard": {"version": "1.0"},
        "interfaces": {"config": SECTIONS, "input_adapters": ADAPTERS},
        "input_contract": {"supported_adapters": ADAPTERS},
        "observability_dashboard": {"panels": ["current_status"]},
        "human_control": {"mode": "disabled"},
    },
}

CONFIG: dict[str, Any] = {
    "standard_version": "1.0",
    "identity": {"blueprint_id": "river_gauge", "name": "River gauge"},
    "mode": "mock",
    "metadata": {},
    "inputs": {"adapter": "mock", "payload": {"gauge": "G-17"}},
    "simulation": {"enabled": True},
    "llm": {"enabled": False},
    "outputs": {"adapter": "local_run_store", "write_run_store": True},
    "logging": {"level": "INFO", "redact_fields": ["token"]},
    "resources": {"sample_interval_seconds": 10},
    "human_control": {"mode": "disabled", "reason": "Nothing is decided."},
    "real_adapters": {},
    "interfaces": {"config_sections": SECTIONS, "input_adapters": ADAPTERS},
    "execution_model": ["resolve_config", "load_inputs", "emit_events", "write_final_artifact"],
    "state": {"resume_mode": "none"},
    "capabilities": {"required": ["filesystem.write"]},
    "privacy": {"default_classification": "public"},
    "triggers": {"type": "manual"},
    "backpressure": {"drop_policy": "block", "queue_size": 100},
    "determinism": {"enabled": True, "seed_field": "seed"},
    "schemas": {},
    "budgets": {"max_runtime_seconds": 60},
    "agent_handoffs": {
        "reading": {"message_type": "reading", "producer": "reader", "consumer": "sink"}
    },
    "error_handling": {"default_mode": "stop"},
}

ROW: dict[str, Any] = {
    "id": "river_gauge",
    "name": "River gauge",
    "category": "water",
    "description": "Reads a gauge.",
    "graph_id": "river_gauge_v1",
    "job_name": "river-gauge",
    "product": dict.fromkeys(
        ["problem", "input", "output", "how_it_works", "benefit", "target_users"], "…"
    ),
}

WATCHED = {
    "agent_beacon_required": False,
    "beacon_enabled": True,
    "beacon_interval_ms": 1000,
    "beacon_timeout_ms": 5000,
}
CONTROL: dict[str, Any] = {
    "required": True,
    "timeout_seconds": 20,
    "retry": {"max_attempts": 2, "backoff_seconds": 0.5},
    "failure_policy": "fail_workflow",
}

WORKFLOW: dict[str, Any] = {
    "apiVersion": "mn.workflow/v1",
    "kind": "Workflow",
    "id": "river_gauge",
    "version": 1,
    "contract": {"inputs": {}, "outputs": {"primary": {}}},
    "workflow": {
        "schema": "mn.workflow.problem_graph/v1",
        "workflow_id": "river_gauge_v1",
        "mode": "static_dag",
        "entrypoint": "read",
        "source": "read",
        "sink": "check",
        "steps": [
            {"id": "read", "run": "reader", "emits": ["reading"]},
            {"id": "check", "run": "checker", "emits": "checked"},
        ],
        "edges": [{"id": "read_to_check", "from": "read", "to": "check", "accepts": ["done"]}],
        "execution": {"strategy": "serial"},
    },
    "agents": {
        "schema": "mn.agents.communication_graph/v1",
        "nodes": [],
        "edges": [
            {
                "edge_id": "e1",
                "from_node": "intake",
                "to_node": "reader",
                "message_type": "reading_requested",
            },
            {
                "edge_id": "e2",
                "from_node": "reader",
                "to_node": "checker",
                "message_type": "reading",
            },
            {
                "edge_id": "e3",
                "from_node": "checker",
                "to_node": "sink",
                "message_type": "checked",
            },
        ],
        "entrypoints": ["intake"],
    },
    "runtime": {
        "bindings": {"read": {"risk": "low"}, "check": {"risk": "low"}},
        "workflow_control": {"enabled": True, "source_of_truth": "workflow.steps"},
        "initial_inputs": {"intake": [{"gauge": "G-17"}]},
    },
}
STATUS_CONTRACT = {
    "runtime_state_source": "workflow_state",
    "attempt_event": "a",
    "retry_event": "r",
    "blocked_event": "b",
    "terminal_step_events": ["t"],
}


class Parts:
    """What a bundle is made of; a case changes it before it is opened."""

    def __init__(self) -> None:
        self.manifest: Any = copy.deepcopy(MANIFEST)
        self.config: Any = copy.deepcopy(CONFIG)
        self.files: dict[str, bytes] = dict.fromkeys(
            ["README.md", "SPEC.md", "LICENSE.md", "TERM.md", "payloads/reader/read.py"], b"."
        )
        self.catalogue: list[Any] | None = [copy.deepcopy(ROW)]
        self.unsafe: list[Unsafe] = []
        self.expected_id: str | None = "river_gauge"

    def agent(self, name: str) -> dict[str, Any]:
        """Return one entry of `nodes`, wherever they stand."""
        homes = (self.manifest, self.manifest.get("flow", {}), self.manifest.get("agents", {}))
        found: dict[str, Any] = next(
            node for home in homes for node in home.get("nodes", []) if node["node_id"] == name
        )
        return found

    @property
    def workflow(self) -> dict[str, Any]:
        """`workflow` of the manifest, or `flow`."""
        found: dict[str, Any] = self.manifest.get("workflow") or self.manifest["flow"]
        return found

    @property
    def step_edges(self) -> list[dict[str, Any]]:
        """The edges between steps."""
        found: list[dict[str, Any]] = self.workflow.get("graph", self.workflow)["edges"]
        return found

    def step(self, name: str) -> dict[str, Any]:
        """Return one step."""
        found: dict[str, Any] = next(s for s in self.workflow["steps"] if s["id"] == name)
        return found

    def control(self, name: str) -> dict[str, Any]:
        """Return the control of one step."""
        found: dict[str, Any] = self.step(name)["control"]
        return found

    def settings(self, name: str) -> dict[str, Any]:
        """Return the config of one agent."""
        config: dict[str, Any] = self.agent(name)["config"]
        return config

    def as_workflow(self) -> None:
        """Make the manifest one of generation C, of two steps."""
        nodes = self.manifest["nodes"]
        checker = copy.deepcopy(nodes[1])
        checker["node_id"] = "checker"
        checker["config"]["output_message_type"] = "checked"
        nodes.insert(2, checker)
        for node in nodes[1:3]:
            node["config"].update(WATCHED)
        for key in ("graph_id", "nodes", "edges", "entrypoints", "initial_inputs"):
            del self.manifest[key]
        self.manifest.update(copy.deepcopy(WORKFLOW))
        self.manifest["agents"]["nodes"] = nodes
        for step in self.workflow["steps"]:
            step["control"] = copy.deepcopy(CONTROL)
        self.manifest["metadata"]["status_contract"] = copy.deepcopy(STATUS_CONTRACT)
        self.config["agent_handoffs"]["reading"]["consumer"] = "checker"

    def as_steps(self) -> None:
        """Make the manifest one of generation B, its agents in `flow`."""
        self.as_workflow()
        workflow, agents = self.manifest["workflow"], self.manifest["agents"]
        for key in ("workflow", "agents", "id", "version"):
            del self.manifest[key]
        self.manifest["graph_id"] = workflow.pop("workflow_id")
        self.manifest["entrypoints"] = agents["entrypoints"]
        self.manifest["runtime"]["workflow_control"]["source_of_truth"] = "flow.steps"
        self.manifest["flow"] = {
            "entrypoint": workflow.pop("entrypoint"),
            "steps": workflow.pop("steps"),
            "graph": workflow,
            "nodes": agents["nodes"],
            "edges": agents["edges"],
        }

    def as_old_steps(self) -> None:
        """Make the manifest one of generation B, its agents at the root."""
        self.as_steps()
        for key in ("nodes", "edges"):
            self.manifest[key] = self.manifest["flow"].pop(key)

    def as_dynamic(self) -> None:
        """Make the manifest one of generation C whose graph may change."""
        self.as_workflow()
        digger = copy.deepcopy(self.agent("reader"))
        digger["node_id"] = "digger"
        self.manifest["agents"]["nodes"].append(digger)
        self.manifest["agents"]["edges"].append(
            {
                "edge_id": "e4",
                "from_node": "digger",
                "to_node": "checker",
                "message_type": "reading",
            }
        )
        self.workflow["mode"] = "dynamic_dag"
        self.workflow["dynamic"] = {
            "enabled": True,
            "apply_at": "between_steps",
            "limits": {"max_patches": 8},
            "templates": {"dig": {"agent_id": "digger", "control": copy.deepcopy(CONTROL)}},
            "regions": [
                {
                    "id": "deeper",
                    "strategy": "replace_path",
                    "controller": "read",
                    "exit": "check",
                    "templates": ["dig"],
                    "mutable_edges": ["read_to_check"],
                }
            ],
        }

    def as_source(self) -> None:
        """Make the manifest an authoring source of the same two steps."""
        self.as_workflow()
        agents = self.manifest["agents"]
        runtime = self.manifest["runtime"]
        for key in ("workflow", "agents", "version", "metadata", "runtime", "id"):
            del self.manifest[key]
        self.manifest["apiVersion"] = "mn.workflow.source/v2"
        self.manifest["kind"] = "WorkflowSource"
        self.manifest["identity"] = {"id": "river_gauge", "name": "River gauge"}
        self.manifest["runtime"] = runtime
        self.manifest["workflow"] = {
            "steps": [
                {"id": "read", "needs": [], "run": {"agent": "reader"}, "emits": "reading"},
                {"id": "check", "needs": ["read"], "run": {"agent": "checker"}, "emits": "checked"},
            ]
        }
        self.manifest["agents"] = {
            "extra_nodes": agents["nodes"],
            "extra_edges": [edge for edge in agents["edges"] if edge["edge_id"] != "e2"],
            "entrypoints": agents["entrypoints"],
        }

    def contents(self) -> dict[str, bytes]:
        """Return every file with its content."""
        contents = dict(self.files)
        for name, value in (("manifest.json", self.manifest), ("config/default.json", self.config)):
            if isinstance(value, bytes):
                contents[name] = value
            elif value is not None:
                contents[name] = json.dumps(value, indent=1).encode()
        return contents

    def opened(self, profile: str = "default", **more: Any) -> Bundle:
        """Return the bundle."""
        catalogue = Document(name="index.json", present=True, value=self.catalogue)
        return open_files(
            ListedFiles([], self.contents(), unsafe=self.unsafe),
            label="river_gauge",
            root=Path("river_gauge"),
            expected_id=self.expected_id,
            catalogue=None if self.catalogue is None else catalogue,
            profile=profile,
            **{"environ": {}, **more},
        )

    def written(self, folder: Path) -> Path:
        """Write the bundle into `<folder>/river_gauge` and return that."""
        root = folder / "river_gauge"
        for name, content in self.contents().items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return root


Edit = Callable[[Parts], Any]


def root(**changes: Any) -> Edit:
    """Change members of the manifest."""
    return lambda parts: parts.manifest.update(changes)


def section(name: str, **changes: Any) -> Edit:
    """Change members of a section of the config."""
    return lambda parts: parts.config[name].update(changes)


def setting(**changes: Any) -> Edit:
    """Change members of the executor's config."""
    return lambda parts: parts.settings("reader").update(changes)


class Case(NamedTuple):
    """One broken bundle, and the finding it must give."""

    rule: str
    edit: Edit
    path: str
    """The place as people read it."""
    says: str
    """Part of the message."""
    expects: Any = None
    """What the finding says was expected, where it says so."""
    file: str = "manifest.json"
    weight: str = "E"
    """`E`: an error; `E/s`: an error in strict only; `W`: a warning."""
    also: tuple[str, ...] = ()
    """Other rules that are broken as errors by the same edit."""
    form: str = ""
    """How the good bundle is made, such as `as_workflow`; if empty, it is of generation A."""

    def __str__(self) -> str:
        return f"{self.rule} {self.path or self.file}: {self.says}"[:90]


def check(case: Case) -> None:
    """Assert that the case is told exactly, and that the whole bundle does not break its rule."""
    parts = good(case.form)
    case.edit(parts)
    strict = parts.opened("strict").problems
    found = [problem for problem in strict if problem.rule == case.rule]
    matching = [
        problem
        for problem in found
        if problem.path == case.path and problem.file == case.file and case.says in problem.message
    ]
    assert matching, f"told instead: {[(p.file, p.path, p.message) for p in found or strict]}"
    problem = matching[0]
    assert problem.help
    if case.expects is not None:
        assert problem.expected == case.expects
    severity = Severity.WARNING if case.weight == "W" else Severity.ERROR
    assert problem.severity is severity
    errors = {p.rule for p in strict if p.severity is Severity.ERROR}
    assert errors == {*case.also, *([case.rule] if severity is Severity.ERROR else [])}
    default = [p for p in parts.opened("default").problems if p.rule == case.rule]
    lenient = Severity.ERROR if case.weight == "E" else Severity.WARNING
    assert {p.severity for p in default if (p.path, p.file) == (case.path, case.file)} == {lenient}
    assert case.rule not in broken_by_the_good_one(case.form)


def good(form: str = "") -> Parts:
    """Return a bundle in which everything is right."""
    parts = Parts()
    if form:
        getattr(parts, form)()
    return parts


@cache
def broken_by_the_good_one(form: str = "") -> frozenset[str]:
    """Return the rules that the bundle breaks in which everything is right."""
    return frozenset(problem.rule for problem in good(form).opened("strict").problems)


def assert_every_rule_has_a_case(module: ModuleType, cases: Iterable[Case]) -> None:
    """Assert that each rule the module declares is broken by some case, and no other rule is."""
    declared = {rule.rule_id for rule in RULES if rule.check.__module__ == module.__name__}
    assert declared
    assert declared == {case.rule for case in cases}


def rules_of(problems: Iterable[Problem]) -> list[str]:
    """Return the ids of the broken rules, sorted, each once."""
    return sorted({problem.rule for problem in problems})
