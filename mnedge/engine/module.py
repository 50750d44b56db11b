"""Module agents: each message is a call of a worker that keeps its state, answered by one fact.

Source: worker contract 2.10, 5.7.
"""

from typing import assert_never

from mnedge.engine import people
from mnedge.engine.actions import complete, send
from mnedge.engine.executor import bind, enter, is_orphan
from mnedge.engine.job import fail
from mnedge.engine.ledger import reports
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.settle import attempt_failed
from mnedge.engine.ledger.work import stale_answer
from mnedge.engine.restart import crashed, recovered
from mnedge.engine.route import make_ready
from mnedge.engine.state import PARKED, RUNNING, AgentState, Flight, ModuleMemory, Timer
from mnedge.engine.turn import Turn
from mnedge.model.body import weight_of
from mnedge.model.commands import CallModule
from mnedge.model.facts import (
    Action,
    Checkpoint,
    Complete,
    DeliverLater,
    Emit,
    ModuleAnswered,
    Tell,
)
from mnedge.model.ids import derived_id, plain_id
from mnedge.model.message import Message, output_id, weight
from mnedge.model.states import TERMINAL, AgentKind


def take(turn: Turn, index: int, message: Message) -> None:
    """Hand the message to the agent's worker."""
    agent = turn.state.agents[index]
    agent.flight = Flight("", message)
    bind(turn, agent.flight)
    turn.state.flights += 1
    turn.state.queued_bytes += message.weight_bytes
    memory = memory_of(agent)
    if memory.crashed:
        memory.crashed = False
        recover_first(turn, index)
    launch(turn, index)


def memory_of(agent: AgentState) -> ModuleMemory:
    """Return what the engine keeps of the agent."""
    if not isinstance(agent.memory, ModuleMemory):
        agent.memory = ModuleMemory()
    return agent.memory


def recover_first(turn: Turn, index: int) -> None:
    """Note that the worker recovers from its state, if any, before it gets a message."""
    agent = turn.state.agents[index]
    memory = memory_of(agent)
    if not memory.version:
        return
    memory.recoveries += 1
    if agent.flight is None:
        agent.flight = Flight("", None)
        turn.state.flights += 1
    agent.flight.recovering = True


def launch(turn: Turn, index: int) -> None:
    """Call the worker: to recover, or to handle its message."""
    compiled, agent = turn.agent(index)
    flight, memory = agent.flight, memory_of(agent)
    if flight is None:
        raise ValueError(f"{compiled.agent_id} has no call to make")
    if not turn.running:
        flight.phase = PARKED
        return
    flight.phase = RUNNING
    message = None if flight.recovering else flight.message
    if message is None:
        flight.work_id = f"{compiled.agent_id}:recovery:{memory.recoveries}"
    else:
        flight.work_id = f"{compiled.agent_id}:{plain_id(message.message_id)}"
    turn.commands.append(
        CallModule(
            call_id=flight.work_id,
            launch=flight.launch,
            agent_id=compiled.agent_id,
            message=message,
            invocation=agent.processed + 1,
            state_version=memory.version,
            state=memory.state,
        )
    )


def module_answered(turn: Turn, fact: ModuleAnswered) -> None:
    """Take the answer to the current call; any other answer changes nothing."""
    index = turn.agent_at_work(fact.call_id, fact.launch, AgentKind.MODULE)
    if index is None:
        stale_answer(turn, fact.call_id)
        return
    agent = turn.state.agents[index]
    flight, memory = agent.flight, memory_of(agent)
    if flight is None:
        return
    enter(turn, flight)
    if fact.crash is not None or fact.error is not None:
        _failed(turn, index, flight, fact)
        return
    parent = _recovery_message(turn, index) if flight.recovering else flight.message
    if parent is None:
        return
    _keep(turn, memory, fact)
    was_recovering = flight.recovering
    _land(turn, index)
    if was_recovering:
        recovered(turn, index)
    for position, action in enumerate(fact.actions):
        _act(turn, index, parent, action, position, flight)
        if turn.state.status in TERMINAL:
            return
    if agent.flight is not None:
        launch(turn, index)
    make_ready(turn, index)


def _failed(turn: Turn, index: int, flight: Flight, fact: ModuleAnswered) -> None:
    """The worker died, or its handler returned an error."""
    compiled, agent = turn.agent(index)
    memory = memory_of(agent)
    reason = memory.last_error = fact.error or "" if fact.crash is None else fact.crash
    if flight.step_id is not None and flight.message is not None:
        memory.crashed = fact.crash is not None
        flight.recovering = False
        _land(turn, index)
        if not is_orphan(turn, flight):
            step = turn.ledger.steps[turn.step]
            attempt_failed(turn, step, reason, number=flight.attempt)
        make_ready(turn, index)
    elif fact.crash is not None:
        crashed(turn, index, reason)
    elif compiled.restart.declared:
        crashed(turn, index, reason, error=reason)
    else:
        fail(turn, compiled.agent_id, reason)


def _keep(turn: Turn, memory: ModuleMemory, fact: ModuleAnswered) -> None:
    memory.version += 1
    memory.state = fact.state
    memory.last_error = None
    _weigh(turn, memory)


def _weigh(turn: Turn, memory: ModuleMemory) -> None:
    before = memory.weight_bytes
    memory.weight_bytes = weight_of(memory.state) + weight_of(memory.checkpoint)
    turn.state.kept_bytes += memory.weight_bytes - before


def _land(turn: Turn, index: int) -> None:
    """A call was answered: after a recovery the message follows, else the agent is free."""
    agent = turn.state.agents[index]
    flight = agent.flight
    if flight is None:
        return
    if flight.recovering and flight.message is not None:
        flight.recovering = False
        return
    if flight.message is not None:
        agent.processed += 1
        turn.state.queued_bytes -= flight.message.weight_bytes
    agent.flight = None
    turn.state.flights -= 1


def _recovery_message(turn: Turn, index: int) -> Message:
    """Return what the actions of a recovery answer to."""
    compiled, agent = turn.agent(index)
    times = memory_of(agent).recoveries
    seed = f"{turn.state.job_id}:recovery:{compiled.agent_id}:{times}"
    return Message(
        derived_id(seed, size_bytes=10),
        "recovery",
        compiled.agent_id,
        "runtime",
        "control",
        derived_id(f"{seed}:correlation", size_bytes=10),
        turn.at,
        {},
    )


def _act(
    turn: Turn, index: int, parent: Message, action: Action, position: int, flight: Flight
) -> None:
    compiled, agent = turn.agent(index)
    attempt = flight.attempt
    match action:
        case Emit():
            send(turn, index, parent, action.emission, position)
        case Tell():
            if action.event.type in people.SPOKEN:
                people.told(turn, index, action.event, flight)
                return
            turn.tell(action.event.type, compiled.agent_id, action.event.payload)
            reports.report(turn, index, action.event, attempt)
        case Complete():
            completion = action.completion
            result = parent.body if completion.default else completion.value
            complete(turn, index, completion.scope, result, attempt)
        case Checkpoint():
            memory = memory_of(agent)
            memory.checkpoint = action.snapshot
            _weigh(turn, memory)
        case DeliverLater():
            _deliver_later(turn, index, parent, action, position)
        case _:
            assert_never(action)


def _deliver_later(
    turn: Turn, index: int, parent: Message, action: DeliverLater, position: int
) -> None:
    agent_id = turn.job.agents[index].agent_id
    message = Message(
        output_id(parent.message_id, agent_id, agent_id, str(position)),
        action.type,
        agent_id,
        agent_id,
        "control",
        parent.correlation_id,
        turn.at,
        action.body,
        parent.headers if turn.step != NO_STEP else {},
        causation_id=parent.message_id,
        weight_bytes=weight(action.body, {}, [], None),
    )
    due_at = turn.at + max(action.delay_s, 0.0)
    turn.set_timer(f"later:{agent_id}:{message.message_id}", Timer(due_at, "later", index, message))
