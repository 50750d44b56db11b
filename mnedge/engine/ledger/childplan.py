"""What a planner answers: read, and held to its bounds.

Source: bundle format 3.11.
"""

from typing import Any, NoReturn

from msgspec import Struct, field

from mnedge.engine.ledger.candidate import ID
from mnedge.engine.ledger.definition import PLAN_MEMBERS, PLAN_PLACES
from mnedge.engine.ledger.patchid import canonical
from mnedge.engine.ledger.state import ChildRun, LedgerState
from mnedge.model.body import value_at
from mnedge.model.manifest import ChildWorkflow

MOST_BYTES = 128 * 1024
DECISIONS = ("execute", "stop")


class PlanRefusedError(Exception):
    """Why a plan is refused."""


class PlannedStep(Struct):
    """One task of a round."""

    id: str
    template: str
    input: dict[str, Any] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)


class Plan(Struct):
    """What a planner has decided."""

    decision: str
    steps: list[PlannedStep]
    reason: str | None
    output: Any


def mapped(output: Any, paths: dict[str, list[str]]) -> dict[str, Any]:
    """Return what stands at the paths in an output, or else below its `outputs`; else null."""
    found: dict[str, Any] = {}
    for name, path in paths.items():
        value = value_at(output, tuple(path))
        found[name] = value_at(output, ("outputs", *path)) if value is None else value
    return found


def read_plan(
    output: Any, child: ChildWorkflow, run: ChildRun, ledger: LedgerState
) -> dict[str, Any]:
    """Return the plan in a planner's output, its members as they are.

    Raises: PlanRefusedError.
    """
    place = next(
        (one for one in PLAN_PLACES if value_at(output, (*one, "decision")) is not None), None
    )
    if place is None:
        _refuse("the planner's output holds no child_plan with a decision")
    raw = {member: value_at(output, (*place, member)) for member in PLAN_MEMBERS}
    size = len(canonical(raw))
    if size > MOST_BYTES:
        _refuse(f"the plan has {size} bytes, more than {MOST_BYTES}")
    if raw["decision"] not in DECISIONS:
        _refuse(f"unknown decision {raw['decision']!r}; expected one of {', '.join(DECISIONS)}")
    revision = raw["revision"]
    if isinstance(revision, bool) or revision != run.revision:
        _refuse(f"the plan's revision is {revision!r}, expected {run.revision}")
    if raw["decision"] == "stop":
        return {**raw, "steps": []}
    if run.round >= child.max_rounds:
        _refuse(f"all of the {child.max_rounds} rounds are over, so it can only stop")
    steps = _steps(raw["steps"], child, run)
    parent = child.parent
    for step in steps:
        if (step_id := task_id(parent, run.round + 1, step.id)) in ledger.step_of:
            _refuse(f"step {step_id} exists already")
    raw["steps"] = [
        {"id": one.id, "template": one.template, "input": one.input, "needs": one.needs}
        for one in steps
    ]
    return raw


def task_id(parent: str, number: int, name: str) -> str:
    """Return the id of a task in a round."""
    return f"{parent}:r{number}:{name}"


def _steps(given: Any, child: ChildWorkflow, run: ChildRun) -> list[PlannedStep]:
    if not isinstance(given, list) or not given:
        _refuse("steps must be a list that is not empty")
    if len(given) > child.max_steps_per_round:
        _refuse(f"{len(given)} steps are more than {child.max_steps_per_round}")
    templates = [one.step_id for one in child.templates if one.step_id != child.planner]
    steps: dict[str, PlannedStep] = {}
    for raw in given:
        step = _step(raw, templates, run)
        if step.id in steps:
            _refuse(f"two steps have the id {step.id}")
        steps[step.id] = step
    for step in steps.values():
        for need in step.needs:
            if need not in steps:
                _refuse(f"step {step.id} needs {need}, which is not in the plan")
    if _has_cycle(steps):
        _refuse("the steps need each other in a circle")
    return list(steps.values())


def _step(raw: Any, templates: list[str], run: ChildRun) -> PlannedStep:
    if not isinstance(raw, dict):
        _refuse("every step must be an object")
    name, template = raw.get("id"), raw.get("template")
    if not isinstance(name, str) or not ID.fullmatch(name):
        _refuse(f"invalid id of a step: {name!r}")
    if not isinstance(template, str) or template not in templates:
        _refuse(f"step {name}: template {template!r} is none of {', '.join(templates)}")
    step_input, needs = raw.get("input"), raw.get("needs")
    step_input = {} if step_input is None else step_input
    needs = [] if needs is None else needs
    if not isinstance(step_input, dict):
        _refuse(f"step {name}: input must be an object")
    taken = [key for key in step_input if key in run.inputs]
    if taken:
        _refuse(f"step {name}: input {taken[0]} comes from the parent and cannot be set")
    if not isinstance(needs, list) or not all(isinstance(one, str) for one in needs):
        _refuse(f"step {name}: needs must be a list of ids")
    return PlannedStep(name, template, step_input, list(dict.fromkeys(needs)))


def _has_cycle(steps: dict[str, PlannedStep]) -> bool:
    done: dict[str, None] = {}
    while len(done) < len(steps):
        free = [
            name
            for name, step in steps.items()
            if name not in done and all(need in done for need in step.needs)
        ]
        if not free:
            return True
        done.update(dict.fromkeys(free))
    return False


def _refuse(reason: str) -> NoReturn:
    raise PlanRefusedError(reason)
