"""The graph as a patch would leave it: each operation tried, and the whole looked at.

Nothing is changed here; what passes is a list of changes to be made in their order.

Source: bundle format 3.10.
"""

import re
from typing import Any, NamedTuple, NoReturn

from msgspec import Struct

from mnedge.engine.ledger.patchid import canonical
from mnedge.engine.ledger.state import StepState
from mnedge.engine.turn import Turn
from mnedge.model.manifest import DynamicLimits, Region
from mnedge.model.states import TERMINAL_STEP, StepStatus

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
FANOUT = "checkpoint_fanout"
_UNTOUCHED = (StepStatus.PENDING, StepStatus.READY, StepStatus.BLOCKED)


class PatchRefusedError(Exception):
    """Why a patch, or a checkpoint, is refused."""


class AddStep(Struct, frozen=True):
    """An instance of a template."""

    step_id: str
    template: str
    label: str | None
    step_input: dict[str, Any]


class RemoveStep(Struct, frozen=True):
    """An instance that never ran."""

    step_id: str


class AddEdge(Struct, frozen=True):
    """A dependency between two steps of the region."""

    edge_id: str
    source: str
    target: str
    accepts: list[str]
    required: bool
    event: str


class RemoveEdge(Struct, frozen=True):
    """A dependency that the region owns."""

    edge_id: str


Change = AddStep | RemoveStep | AddEdge | RemoveEdge


class _Arc(NamedTuple):
    source: str
    target: str
    region_id: str | None


class Candidate:
    """The graph after the operations tried so far."""

    def __init__(self, turn: Turn, region: Region, limits: DynamicLimits) -> None:
        ledger = turn.ledger
        self.turn, self.region, self.limits = turn, region, limits
        self.steps: dict[str, StepState | None] = {
            step.step_id: step for step in ledger.steps.values()
        }
        """None: the patch adds it."""
        self.edges = {
            edge.edge_id: _Arc(
                ledger.steps[edge.source].step_id, ledger.steps[edge.target].step_id, edge.region_id
            )
            for edge in ledger.edges.values()
        }
        self.changes: list[Change] = []

    def attempt(self, operation: dict[str, Any]) -> None:
        """Try one operation.

        Raises: PatchRefusedError.
        """
        match operation.get("op"):
            case "add_step":
                self._add_step(operation)
            case "remove_step":
                self._remove_step(operation)
            case "add_edge":
                self._add_edge(operation)
            case "remove_edge":
                self._remove_edge(operation)
            case other:
                refuse(f"unknown operation {other!r}")

    def active(self) -> int:
        """Return how many instances, of all regions, are not terminal."""
        return sum(
            step is None or (_is_instance(step) and step.status not in TERMINAL_STEP)
            for step in self.steps.values()
        )

    # ---- operations ----

    def _add_step(self, operation: dict[str, Any]) -> None:
        step_id = _id(operation, "add_step")
        if step_id in self.steps:
            refuse(f"step {step_id} exists already")
        template = operation.get("template")
        if not isinstance(template, str) or template not in self.region.templates:
            refuse(f"template {template!r} is not allowed in region {self.region.region_id}")
        step_input = operation.get("with", {})
        if not isinstance(step_input, dict):
            refuse(f"with of step {step_id} must be an object")
        size, most = len(canonical(step_input)), self.limits.max_instance_input_bytes
        if size > most:
            refuse(f"with of step {step_id} has {size} bytes, more than {most}")
        label = operation.get("label")
        self.steps[step_id] = None
        self.changes.append(
            AddStep(
                step_id, template, label if isinstance(label, str) and label else None, step_input
            )
        )

    def _remove_step(self, operation: dict[str, Any]) -> None:
        step_id = _id(operation, "remove_step")
        if step_id not in self.steps:
            refuse(f"step {step_id} does not exist")
        if not self._is_own(step_id):
            refuse(f"step {step_id} is no instance of region {self.region.region_id}")
        if not self._is_untouched(step_id):
            refuse(f"step {step_id} has started")
        if any(step_id in (arc.source, arc.target) for arc in self.edges.values()):
            refuse(f"step {step_id} still has edges")
        del self.steps[step_id]
        self.changes.append(RemoveStep(step_id))

    def _add_edge(self, operation: dict[str, Any]) -> None:
        edge_id = _id(operation, "add_edge")
        if edge_id in self.edges:
            refuse(f"edge {edge_id} exists already")
        ends: list[str] = []
        for key in ("from", "to"):
            name = operation.get(key)
            if not isinstance(name, str) or name not in self.steps:
                refuse(f"{key} of edge {edge_id} names no step: {name!r}")
            ends.append(name)
        source, target = ends
        if source == target:
            refuse(f"edge {edge_id} leads from {source} to itself")
        self._check_ends(edge_id, source, target)
        accepts = operation.get("accepts", ["done"])
        if not isinstance(accepts, list) or not all(isinstance(one, str) for one in accepts):
            refuse(f"accepts of edge {edge_id} must be a list of statuses")
        event = operation.get("event")
        self.edges[edge_id] = _Arc(source, target, self.region.region_id)
        self.changes.append(
            AddEdge(
                edge_id,
                source,
                target,
                accepts or ["done"],
                operation.get("required") is not False,
                event if isinstance(event, str) else "",
            )
        )

    def _remove_edge(self, operation: dict[str, Any]) -> None:
        edge_id = _id(operation, "remove_edge")
        arc = self.edges.get(edge_id)
        if arc is None:
            refuse(f"edge {edge_id} does not exist")
        if arc.region_id != self.region.region_id:
            refuse(f"edge {edge_id} does not belong to region {self.region.region_id}")
        self._check_ends(edge_id, arc.source, arc.target)
        del self.edges[edge_id]
        self.changes.append(RemoveEdge(edge_id))

    def _check_ends(self, edge_id: str, source: str, target: str) -> None:
        region = self.region
        for name in (source, target):
            if name not in (region.controller, region.exit) and not self._is_own(name):
                refuse(f"edge {edge_id} leaves region {region.region_id}: {name}")
        if not self._is_untouched(target):
            refuse(f"target {target} of edge {edge_id} has started")
        if source != region.controller and not self._is_untouched(source):
            refuse(f"source {source} of edge {edge_id} has started")

    def _is_own(self, step_id: str) -> bool:
        step = self.steps[step_id]
        return step is None or (
            _is_instance(step)
            and step.origin is not None
            and step.origin.region_id == self.region.region_id
        )

    def _is_untouched(self, step_id: str) -> bool:
        step = self.steps[step_id]
        return step is None or (step.status in _UNTOUCHED and not step.attempt_count)

    # ---- the whole ----

    def check(self) -> None:
        """Look at the graph as a whole.

        Raises: PatchRefusedError.
        """
        after: dict[str, list[str]] = {}
        before: dict[str, list[str]] = {}
        for edge_id, arc in self.edges.items():
            for name in (arc.source, arc.target):
                if name not in self.steps:
                    refuse(f"edge {edge_id} would dangle: {name} does not exist")
            after.setdefault(arc.source, []).append(arc.target)
            before.setdefault(arc.target, []).append(arc.source)
        if _has_cycle(self.steps, after, before):
            refuse("the graph would have a cycle")
        region = self.region
        reached = _reached(region.controller, after)
        instances = [name for name in self.steps if self._is_own(name)]
        if region.strategy == FANOUT:
            lost = [name for name in instances if name not in reached]
            if lost:
                refuse(f"step {lost[0]} cannot be reached from {region.controller}")
            return
        if region.exit is None or region.exit not in reached:
            refuse(f"exit {region.exit} cannot be reached from {region.controller}")
        leading = _reached(region.exit, before)
        lost = [name for name in instances if name not in reached or name not in leading]
        if lost:
            refuse(f"step {lost[0]} is on no path from {region.controller} to {region.exit}")


def refuse(reason: str) -> NoReturn:
    """Refuse the patch."""
    raise PatchRefusedError(reason)


def _id(operation: dict[str, Any], what: str) -> str:
    name = operation.get("id")
    if not isinstance(name, str) or not ID.fullmatch(name):
        refuse(f"invalid id of {what}: {name!r}")
    return name


def _is_instance(step: StepState) -> bool:
    return step.origin is not None and step.origin.patch_id is not None


def _has_cycle(
    steps: dict[str, StepState | None], after: dict[str, list[str]], before: dict[str, list[str]]
) -> bool:
    open_ins = {name: len(before.get(name, ())) for name in steps}
    free = [name for name, count in open_ins.items() if not count]
    done = 0
    while free:
        done += 1
        for child in after.get(free.pop(), ()):
            open_ins[child] -= 1
            if not open_ins[child]:
                free.append(child)
    return done < len(steps)


def _reached(start: str, after: dict[str, list[str]]) -> dict[str, None]:
    met = {start: None}
    todo = [start]
    while todo:
        for child in after.get(todo.pop(), ()):
            if child not in met:
                met[child] = None
                todo.append(child)
    return met
