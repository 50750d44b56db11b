"""What a ledger counts as it goes, counted once more from the plain facts of its steps."""

from collections import Counter

from mnedge.engine.compile import CompiledJob
from mnedge.engine.ledger.graph import accepts, failed, succeeded
from mnedge.engine.ledger.state import EDGE_BYTES, LedgerState, StepState
from mnedge.engine.state import JobState
from mnedge.model.states import SUCCESSFUL_STEP, TERMINAL_STEP, StepStatus


def check_ledger(job: CompiledJob, state: JobState) -> None:
    """Fail if the ledger is not what its steps and edges say."""
    ledger, compiled = state.ledger, job.ledger
    assert ledger is not None
    assert compiled is not None
    check_names(ledger)
    check_counts(ledger)
    check_patches(ledger)
    assert is_acyclic(ledger)
    for step in ledger.steps.values():
        assert 0 <= step.definition < len(compiled.definitions)
        assert not (step.status in TERMINAL_STEP and step.current), step.step_id
        assert not (step.status in TERMINAL_STEP and step.waiting), step.step_id
    check_flights(job, state)
    assert state.kept_bytes >= EDGE_BYTES * len(ledger.edges)
    assert state.queued_bytes >= 0


def check_names(ledger: LedgerState) -> None:
    assert {step.step_id: number for number, step in ledger.steps.items()} == ledger.step_of
    assert {edge.edge_id: number for number, edge in ledger.edges.items()} == ledger.edge_of
    assert all(number == step.number for number, step in ledger.steps.items())
    ins: Counter[int] = Counter()
    outs: Counter[int] = Counter()
    for number, edge in ledger.edges.items():
        assert ledger.steps[edge.source].outs.count(number) == 1, edge
        assert ledger.steps[edge.target].ins.count(number) == 1, edge
        ins[edge.target] += 1
        outs[edge.source] += 1
    for number, step in ledger.steps.items():
        assert (len(step.ins), len(step.outs)) == (ins[number], outs[number]), step.step_id


def check_counts(ledger: LedgerState) -> None:
    steps = ledger.steps.values()
    assert ledger.unfinished == sum(step.status not in SUCCESSFUL_STEP for step in steps)
    assert ledger.running == sum(step.status is StepStatus.RUNNING for step in steps)
    for step in steps:
        counted = (step.ended, step.accepted, step.succeeded, step.failed, step.driven)
        assert counted == recounted(ledger, step), step.step_id


def recounted(ledger: LedgerState, step: StepState) -> tuple[int, int, int, int, int]:
    """Return ended, accepted, succeeded, failed and driven, told from the step's parents."""
    totals = [0, 0, 0, 0, 0]
    for number in step.ins:
        edge = ledger.edges[number]
        parent = ledger.steps[edge.source]
        if edge.checkpoint_revision is not None:
            facts = [True, True, True, False]
        elif parent.status in TERMINAL_STEP:
            facts = [True, accepts(edge, parent), succeeded(parent), failed(parent)]
        else:
            facts = [False] * 4
        totals = [a + b for a, b in zip(totals, [*facts, edge.drives], strict=True)]
    return totals[0], totals[1], totals[2], totals[3], totals[4]


def check_patches(ledger: LedgerState) -> None:
    members: dict[str, list[int]] = {name: [] for name in ledger.patches}
    for number, step in ledger.steps.items():
        if step.origin is not None and step.origin.patch_id:
            members[step.origin.patch_id].append(number)
    for name, patch in ledger.patches.items():
        assert sorted(patch.steps) == members[name], name
        alive = [one for one in patch.steps if ledger.steps[one].status not in TERMINAL_STEP]
        assert patch.open == len(alive), name
    check_children(ledger)
    for number, fan_out in ledger.fan_outs.items():
        assert ledger.steps[number].status not in TERMINAL_STEP
        assert not fan_out.patch_id or fan_out.patch_id in ledger.patches


def check_children(ledger: LedgerState) -> None:
    members: dict[int, list[int]] = {parent: [] for parent in ledger.child_runs}
    for number, step in ledger.steps.items():
        if step.origin is not None and step.origin.child_phase is not None:
            members[step.origin.parent].append(number)
    for parent, run in ledger.child_runs.items():
        assert sorted(run.steps) == members[parent]
        alive = [one for one in run.steps if ledger.steps[one].status not in TERMINAL_STEP]
        assert run.open == len(alive)
        status = ledger.steps[parent].status
        assert (run.status == "running") == (status is StepStatus.WAITING)
        assert not (alive and run.status != "running")


def check_flights(job: CompiledJob, state: JobState) -> None:
    """Fail if an agent works for an attempt that is yet to come."""
    ledger = state.ledger
    assert ledger is not None
    flights = [agent.flight for agent in state.agents if agent.flight is not None]
    assert state.flights == len(flights)
    for flight in flights:
        number = ledger.step_of.get(flight.step_id or "")
        if number is not None and flight.step_id is not None:
            step = ledger.steps[number]
            current = step.current
            if current is not None:
                assert flight.attempt <= current.number, step.step_id


def is_acyclic(ledger: LedgerState) -> bool:
    """Tell whether no step depends on itself."""
    left = {number: len(step.ins) for number, step in ledger.steps.items()}
    free = [number for number, count in left.items() if not count]
    done = 0
    while free:
        done += 1
        for number in ledger.steps[free.pop()].outs:
            target = ledger.edges[number].target
            left[target] -= 1
            if not left[target]:
                free.append(target)
    return done == len(ledger.steps)


def check_sizes(state: JobState) -> None:
    """Fail if the messages of a job weigh anything but what is counted, or it counts too little."""
    ledger = state.ledger
    assert ledger is not None
    messages = list(state.queue)
    for agent in state.agents:
        messages += agent.inbox or ()
        messages += (held.message for held in (*(agent.held or ()), *(agent.outside or ())))
        if agent.flight is not None and agent.flight.message is not None:
            messages.append(agent.flight.message)
    for step in ledger.steps.values():
        messages += step.waiting or ()
        assert step.saved_bytes == sum(one.weight_bytes for one in step.saved or ())
    assert state.queued_bytes == sum(one.weight_bytes for one in messages)
    steps = sum(one.weight_bytes + one.saved_bytes for one in ledger.steps.values())
    assert state.kept_bytes >= steps + EDGE_BYTES * len(ledger.edges)
