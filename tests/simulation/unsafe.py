"""The engine without one of its promises, for `MNEDGE_UNSAFE`: the simulation must then fail."""

import msgspec

from mnedge import faults
from mnedge.engine import apply as engine
from mnedge.engine.compile import CompiledJob
from mnedge.engine.state import JobState
from mnedge.model.commands import AnyCommand
from mnedge.model.events import Event
from mnedge.model.facts import AnyFact, AttemptEnded, ModuleAnswered

Applied = tuple[list[AnyCommand], list[Event]]


def apply(job: CompiledJob, state: JobState, fact: AnyFact, seq: int) -> Applied:
    """Do what the engine does, but for promises that are switched off."""
    if faults.flag("fencing_off"):
        fact = _current(state, fact)
    if faults.flag("dedupe_off"):
        state.requests.clear()
        state.receipts.clear()
        if state.people is not None:
            state.people.lines.clear()
    return engine.apply(job, state, fact, seq)


def _current(state: JobState, fact: AnyFact) -> AnyFact:
    """Return the fact as if it came from the launch that is under way."""
    match fact:
        case AttemptEnded():
            work_id = fact.attempt_id
        case ModuleAnswered():
            work_id = fact.call_id
        case _:
            return fact
    for agent in state.agents:
        if agent.flight is not None and agent.flight.work_id == work_id:
            return msgspec.structs.replace(fact, launch=agent.flight.launch)
    return fact
