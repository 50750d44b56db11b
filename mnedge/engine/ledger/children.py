"""Rounds of planned steps inside a parent step.

When the parent's own work is done it waits, and a planner decides: `execute` makes a round of
tasks, after which the next planner decides; `stop` completes the parent with what `outputs` names
of the plan's output (all of it, where nothing is named). Planner `p1` plans round `r1`.

- Inputs come from the parent's own output; every step of the child workflow is given them as part
  of its input. A planner also gets `child_workflow`: its revision, the bounds, and what the tasks
  of the last round came to.
- A plan that breaks a rule fails the planner's attempt, so that its retries apply.
- A mandatory step of it that fails for good fails the child workflow: what else is under way is
  skipped, and the parent's failure policy decides. The parent is not tried again.
- What the parent's agent would send by itself at the end of its own work is sent at the end of the
  whole, with the outputs, to agents of no step: steps are triggered.

Source: bundle format 3.11.
"""

from typing import Any

from mnedge.engine.ledger.childplan import PlanRefusedError, mapped, read_plan, task_id
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.graph import add_edge, add_step
from mnedge.engine.ledger.settle import (
    attempt_failed,
    completed,
    exhausted,
    keep_output,
    reconsider,
    skip,
)
from mnedge.engine.ledger.state import ChildRun, Origin, StepEdgeState, StepState
from mnedge.engine.ledger.telling import error_of, tell_step
from mnedge.engine.ledger.work import NO_AGENT, close, keep_saved
from mnedge.engine.route import Draft, deliver, outgoing, remember_output
from mnedge.engine.turn import Turn
from mnedge.model.body import weight_of
from mnedge.model.ids import derived_id
from mnedge.model.manifest import ChildWorkflow
from mnedge.model.message import Message
from mnedge.model.states import (
    TERMINAL_STEP,
    AgentKind,
    AttemptStatus,
    StepOutcome,
    StepStatus,
)

PLANNER, TASK = "planner", "task"
ANY_END = ["done", "partial", "skipped"]
"""A planner looks at a round whatever its tasks came to."""


def takes_over(turn: Turn, step: StepState, output: Any, speaker: int = NO_AGENT) -> bool:
    """Tell whether the step does not complete by this: its child workflow, or another try, follows.

    `output` is what its own work has brought forth; a planner's holds a plan.
    """
    ledger = turn.ledger
    origin = step.origin
    if origin is not None:
        return origin.child_phase == PLANNER and not _has_planned(turn, step, output)
    child = turn.compiled_ledger.children.get(step.step_id)
    if child is None:
        return False
    if step.number not in ledger.child_runs:
        _start(turn, step, child, output, speaker)
    return True


def follow(turn: Turn, step: StepState) -> None:
    """See to the child workflow that a step which has ended belongs to, or is the parent of."""
    ledger = turn.ledger
    if step.status not in TERMINAL_STEP:
        return
    own = ledger.child_runs.get(step.number)
    if own is not None and own.status == "running":
        _end(turn, step, own, "failed", f"step {step.step_id} is {step.status}")
    origin = step.origin
    run = None if origin is None else ledger.child_runs.get(origin.parent)
    if origin is None or run is None:
        return
    run.open -= 1
    parent = ledger.steps[origin.parent]
    if run.status != "running":
        return
    if step.outcome is StepOutcome.FAILED and not turn.definition(step).step.optional:
        _fail(turn, parent, run, f"step {step.step_id} failed: {step.reason}")
    elif not run.open and run.phase == PLANNER:
        _carry_out(turn, parent, run, step)
    elif not run.open:
        _close_round(turn, parent, run)


# ---- begin ----


def _start(turn: Turn, parent: StepState, child: ChildWorkflow, output: Any, speaker: int) -> None:
    attempt = parent.current
    close(turn, parent, AttemptStatus.CHECKPOINTED, speaker=speaker)
    parent.status = StepStatus.WAITING
    keep_saved(turn, parent, None)
    keep_output(turn, parent, output)
    inputs = mapped(output, child.inputs)
    turn.ledger.child_runs[parent.number] = run = ChildRun(inputs)
    turn.state.kept_bytes += weight_of(inputs)
    tell_step(
        turn,
        "workflow_child_started",
        parent,
        attempt,
        child_workflow_id=parent.step_id,
        inputs=list(inputs),
        max_rounds=child.max_rounds,
        max_steps_per_round=child.max_steps_per_round,
    )
    planner = _add_planner(turn, parent, run, [])
    if planner is not None:
        _link(turn, parent, planner, ["done"], lets_go=True)
    reconsider(turn)


def _add_planner(
    turn: Turn, parent: StepState, run: ChildRun, results: list[dict[str, Any]]
) -> StepState | None:
    """Add the next planner; None if its id is taken, and so the child workflow has failed."""
    child = turn.compiled_ledger.children[parent.step_id]
    run.revision += 1
    run.phase = PLANNER
    step_id = f"{parent.step_id}:p{run.revision}"
    if step_id in turn.ledger.step_of:
        _fail(turn, parent, run, f"step {step_id} exists already")
        return None
    about = {
        "revision": run.revision,
        "round": run.round,
        "max_rounds": child.max_rounds,
        "max_steps_per_round": child.max_steps_per_round,
        "templates": [one.step_id for one in child.templates if one.step_id != child.planner],
        "results": results,
    }
    step_input = {**run.inputs, "child_workflow": about}
    return _add_step(turn, parent, step_id, child.planner, step_input, PLANNER, run.round + 1)


def _add_step(
    turn: Turn,
    parent: StepState,
    step_id: str,
    template: str,
    step_input: dict[str, Any],
    phase: str,
    number: int,
) -> StepState:
    origin = Origin(
        step_input=step_input, parent=parent.number, child_round=number, child_phase=phase
    )
    definition = turn.compiled_ledger.template_of[f"{parent.step_id}/{template}"]
    step = StepState(number=0, step_id=step_id, definition=definition, origin=origin)
    add_step(turn, step)
    turn.touch(step.number)
    return step


def _link(
    turn: Turn, source: StepState, target: StepState, accepts: list[str], *, lets_go: bool = False
) -> None:
    ledger = turn.ledger
    edge_id = f"{source.step_id}_to_{target.step_id}"
    while edge_id in ledger.edge_of:
        edge_id += "_"
    revision = ledger.revision if lets_go else None
    add_edge(
        turn,
        StepEdgeState(
            edge_id, source.number, target.number, accepts, drives=True,
            checkpoint_revision=revision,
        ),
    )  # fmt: skip


# ---- plans and rounds ----


def _has_planned(turn: Turn, planner: StepState, output: Any) -> bool:
    """Keep the plan in a planner's output; one that breaks a rule fails its attempt."""
    origin = planner.origin
    run = None if origin is None else turn.ledger.child_runs.get(origin.parent)
    if origin is None or run is None or run.status != "running":
        return True
    parent = turn.ledger.steps[origin.parent]
    child = turn.compiled_ledger.children[parent.step_id]
    try:
        run.plan = read_plan(output, child, run, turn.ledger)
    except PlanRefusedError as error:
        attempt_failed(turn, planner, str(error), code="workflow.child.plan_refused")
        return False
    return True


def _carry_out(turn: Turn, parent: StepState, run: ChildRun, planner: StepState) -> None:
    """Do what the planner has decided."""
    plan, run.plan = run.plan, None
    if plan is None:
        reason = f"planner {planner.step_id} is {planner.status} and has left no plan"
        _fail(turn, parent, run, reason)
        return
    executes = plan["decision"] == "execute"
    run.round += executes
    names = [task_id(parent.step_id, run.round, one["id"]) for one in plan["steps"]]
    decision = {
        "revision": run.revision,
        "decision": plan["decision"],
        "reason": plan["reason"] if isinstance(plan["reason"], str) else None,
        "round": run.round,
        "steps": names,
    }
    run.decisions.append(decision)
    turn.state.kept_bytes += weight_of(decision)
    about = {**decision, "reason": decision["reason"], "child_workflow_id": parent.step_id}
    tell_step(turn, "workflow_child_plan_committed", parent, **about)
    if executes:
        _begin_round(turn, parent, run, planner, plan["steps"])
    else:
        _complete(turn, parent, run, plan["output"])


def _begin_round(
    turn: Turn, parent: StepState, run: ChildRun, planner: StepState, tasks: list[dict[str, Any]]
) -> None:
    run.phase = TASK
    made: dict[str, StepState] = {}
    for task in tasks:
        name = task_id(parent.step_id, run.round, task["id"])
        step_input = {**run.inputs, **task["input"]}
        made[task["id"]] = _add_step(
            turn, parent, name, task["template"], step_input, TASK, run.round
        )
    for task in tasks:
        sources = [made[need] for need in task["needs"]] or [planner]
        for source in sources:
            _link(turn, source, made[task["id"]], ["done"])


def _close_round(turn: Turn, parent: StepState, run: ChildRun) -> None:
    """Let the next planner look at a round whose tasks are over."""
    tasks = [
        step
        for step in (turn.ledger.steps[number] for number in run.steps)
        if step.origin is not None
        and step.origin.child_phase == TASK
        and step.origin.child_round == run.round
    ]
    statuses: dict[str, int] = {}
    for task in tasks:
        statuses[task.status.value] = statuses.get(task.status.value, 0) + 1
    tell_step(
        turn,
        "workflow_child_round_completed",
        parent,
        child_workflow_id=parent.step_id,
        round=run.round,
        revision=run.revision,
        statuses=statuses,
    )
    planner = _add_planner(turn, parent, run, [_result(task) for task in tasks])
    if planner is not None:
        for task in tasks:
            _link(turn, task, planner, ANY_END)


def _result(task: StepState) -> dict[str, Any]:
    return {
        "step_id": task.step_id,
        "status": task.status.value,
        "outcome": None if task.outcome is None else task.outcome.value,
        "reason": task.reason,
        "output": task.output,
    }


# ---- end ----


def _complete(turn: Turn, parent: StepState, run: ChildRun, output: Any) -> None:
    child = turn.compiled_ledger.children[parent.step_id]
    outputs = mapped(output, child.outputs) if child.outputs else output
    _end(turn, parent, run, "completed", None)
    completed(turn, parent, outputs)
    _send_on(turn, parent, outputs)


def _fail(turn: Turn, parent: StepState, run: ChildRun, reason: str) -> None:
    error = error_of(turn, parent, reason, code="workflow.child.failed", attempt=None)
    _end(turn, parent, run, "failed", reason)
    exhausted(turn, parent, reason, error, 1)


def _end(turn: Turn, parent: StepState, run: ChildRun, status: str, reason: str | None) -> None:
    """Close the child workflow; what of it still was to do is skipped."""
    run.status, run.reason, run.plan = status, reason, None
    more: dict[str, Any] = {} if reason is None else {"reason": reason}
    tell_step(
        turn,
        f"workflow_child_{status}",
        parent,
        child_workflow_id=parent.step_id,
        rounds=run.round,
        revision=run.revision,
        **more,
    )
    for number in list(run.steps):
        step = turn.ledger.steps[number]
        if step.status not in TERMINAL_STEP:
            skip(turn, step, f"child workflow of {parent.step_id} {status}")


def _send_on(turn: Turn, parent: StepState, outputs: Any) -> None:
    """Send what the parent's agent sends at the end of its work to agents of no step."""
    if not turn.definition(parent).agents:
        return
    index = turn.definition(parent).primary
    compiled = turn.job.agents[index]
    if compiled.kind is not AgentKind.EXECUTOR or compiled.emits is None:
        return
    job_id = turn.state.job_id
    cause = Message(
        derived_id(f"{job_id}:child:{parent.step_id}"),
        "workflow_child_completed",
        compiled.agent_id,
        "workflow_ledger",
        "event",
        derived_id(f"{job_id}:correlation", size_bytes=10),
        turn.at,
        None,
    )
    draft = Draft(cause, compiled.emits, outputs, class_="event", hops=1)
    remember_output(turn, index, outputs)
    turn.step = parent.number
    for target, message in outgoing(turn, index, draft):
        if turn.compiled_ledger.step_of_agent.get(target, NO_STEP) == NO_STEP:
            deliver(turn, index, target, message)
    turn.step = NO_STEP
