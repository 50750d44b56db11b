"""One fact applied to one job.

Order is total. A fact acts first; then messages are taken in the order of their delivery, and
between two of them at most one agent takes from its inbox. `apply` is a function of its arguments
alone: no clock, no randomness, no iteration over a set.
"""

from binascii import b2a_base64
from collections import deque
from hashlib import sha256
from typing import assert_never

import msgspec

from mnedge.engine import executor, gates, glue, letters, module, people
from mnedge.engine.arrivals import live_input_read, message_arrived
from mnedge.engine.compile import CompiledJob
from mnedge.engine.deadlock import break_deadlock
from mnedge.engine.job import (
    IDLE_TIMER,
    fail,
    idle_timer_fired,
    is_silent,
    operator_asked,
    park,
    start,
    watch_silence,
)
from mnedge.engine.ledger import gate, reports, run, settle
from mnedge.engine.ledger.afterwards import follow_up
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.places import give_places
from mnedge.engine.ledger.work import beacon
from mnedge.engine.primitives import gather, observe, route_on
from mnedge.engine.restart import recovered, restart_begins
from mnedge.engine.route import (
    MAX_HOPS_OF_MESSAGE,
    URL_SAFE,
    deliver,
    make_ready,
    taken,
)
from mnedge.engine.state import OUTSIDE, PARKED, RESTARTING, RUNNING, STARTING, JobState
from mnedge.engine.turn import Turn
from mnedge.model.commands import AnyCommand, FinishJob, SetTimer
from mnedge.model.events import Event
from mnedge.model.facts import (
    AnyFact,
    AttemptEnded,
    Continued,
    HumanSaid,
    LimitCrossed,
    LiveInputRead,
    MessageArrived,
    ModuleAnswered,
    Noted,
    OperatorAsked,
    Recovered,
    Submitted,
    TimerFired,
    WorkerSaid,
)
from mnedge.model.message import Message
from mnedge.model.states import TERMINAL, AgentKind, JobStatus, Verb

MAX_HOPS = 10_000
"""Messages that one `apply` takes at most, so that a cancel gets in between."""


def apply(
    job: CompiledJob, state: JobState, fact: AnyFact, seq: int
) -> tuple[list[AnyCommand], list[Event]]:
    """Change the state in place and return what is to be done and shown.

    `seq` is the fact's number in the journal; one that was applied already changes nothing.
    Raises only for mistakes in this program: the state is void then.
    """
    if seq <= state.last_seq:
        return [], []
    state.last_seq = seq
    state.at = max(state.at, float(fact.at))
    turn = Turn(job, state)
    _act(turn, fact)
    if state.status is JobStatus.PAUSED:
        run.pausing(turn)  # for a person to look: no clock runs on meanwhile
    if turn.ended:
        follow_up(turn)
    letters.tell_steps(turn)
    run.resume_end(turn)
    if state.status is JobStatus.RUNNING:
        _drain(turn)
        run.resume_end(turn)
    else:
        state.wants_more = False
    people.watch(turn)
    if state.status not in TERMINAL:
        if state.size_bytes > job.max_state_bytes:
            _limit(turn, "max_state_bytes", state.size_bytes, job.max_state_bytes)
        watch_silence(turn)
    state.event_seq = turn.next_seq - 1
    return turn.commands, turn.events


def finish_of(state: JobState) -> FinishJob | None:
    """Return how the job ended, if it did: to be carried out again by whoever finds it so."""
    if state.status not in TERMINAL:
        return None
    return FinishJob(status=state.status, result=state.result, error=state.error)


def _act(turn: Turn, fact: AnyFact) -> None:
    if turn.state.status in TERMINAL and not isinstance(fact, Recovered | Noted):
        return
    match fact:
        case AttemptEnded():
            executor.attempt_ended(turn, fact)
        case ModuleAnswered():
            module.module_answered(turn, fact)
        case TimerFired():
            _timer_fired(turn, fact.timer_id)
        case MessageArrived():
            message_arrived(turn, fact.message)
        case LiveInputRead():
            live_input_read(turn, fact)
        case Noted():
            _noted(turn, fact)
        case WorkerSaid():
            _worker_said(turn, fact)
        case HumanSaid():
            people.said(turn, fact)
        case Continued():
            pass
        case _:
            _act_on_job(turn, fact)


def _noted(turn: Turn, fact: Noted) -> None:
    for note in fact.notes:
        turn.events.append(
            Event(turn.next_seq, float(note.at), note.type, note.agent_id, note.payload)
        )
        if note.type == "agent_beacon" and turn.running and turn.state.ledger is not None:
            beacon(turn, note)


def _act_on_job(turn: Turn, fact: Submitted | Recovered | OperatorAsked | LimitCrossed) -> None:
    match fact:
        case Submitted():
            if turn.state.status is JobStatus.PENDING:
                run.start(turn, fact.carried)
                start(turn, fact.node)
        case OperatorAsked():
            was_paused = turn.state.status is JobStatus.PAUSED
            is_new = fact.request_id not in turn.state.requests
            if fact.verb is Verb.PAUSE and turn.running and is_new:
                run.pausing(turn)
            operator_asked(turn, fact)
            if is_new:
                _person_asked(turn, fact)
            if was_paused and turn.running:
                run.resumed(turn)
                _go_on(turn)
        case Recovered():
            _recovered(turn, fact)
        case LimitCrossed():
            _limit(turn, fact.limit, fact.size_bytes, fact.limit_bytes)
        case _:
            assert_never(fact)


def _person_asked(turn: Turn, fact: OperatorAsked) -> None:
    """Do what an operator asked of a message or a question that waits."""
    details = fact.details
    match fact.verb:
        case Verb.RESPOND:
            comment = {"comment": fact.reason} if fact.reason else {}
            people.respond(turn, {**comment, **details}, fact.by)
        case Verb.REDRIVE:
            letters.redrive(turn, details.get("message_id"))
        case Verb.DISCARD:
            letters.discard(turn, details.get("message_id"))
        case _:
            pass


def _limit(turn: Turn, limit: str, size_bytes: int, limit_bytes: int) -> None:
    fail(
        turn,
        None,
        f"the job's state takes {size_bytes} bytes, more than its {limit} of {limit_bytes}",
        component="engine",
        code=f"job.{limit}",
    )


def _timer_fired(turn: Turn, timer_id: str) -> None:
    """Do what a timer was for; one that is not set (any more) changes nothing."""
    timer = turn.clear_timer(timer_id, tell=False)
    if timer is None:
        return
    if timer_id == IDLE_TIMER and turn.state.ledger is not None:
        if is_silent(turn):
            run.silent(turn, timer.kind)
    elif timer_id == IDLE_TIMER:
        idle_timer_fired(turn)
    elif timer.kind in ("deadline", "heartbeat", "retry"):
        settle.timer_fired(turn, timer.kind, timer.agent)
    elif timer.kind == "human":
        people.timed_out(turn, timer_id.removeprefix("human:"))
    elif timer.message is not None:
        deliver(turn, OUTSIDE, timer.agent, msgspec.structs.replace(timer.message, at=turn.at))
    else:
        _launch_waiting(turn, timer.agent)


def _worker_said(turn: Turn, fact: WorkerSaid) -> None:
    """Act on what a worker published while its launch is the current one."""
    for kind in (AgentKind.EXECUTOR, AgentKind.MODULE):
        index = turn.agent_at_work(fact.work_id, fact.launch, kind)
        flight = None if index is None else turn.state.agents[index].flight
        if index is not None and flight is not None:
            executor.enter(turn, flight)
            agent_id = turn.job.agents[index].agent_id
            event = fact.event
            if event.type in people.SPOKEN:
                people.told(turn, index, event, flight, live=True)
                return
            turn.tell(event.type, agent_id, event.payload, step_id=flight.step_id)
            reports.report(turn, index, event, flight.attempt)
            return


def _launch_waiting(turn: Turn, index: int) -> None:
    """Launch a flight that waited for its moment, or for a person."""
    compiled, agent = turn.agent(index)
    flight = agent.flight
    if flight is None or flight.phase not in (STARTING, RESTARTING, PARKED):
        return
    restarting = flight.phase == RESTARTING
    if restarting:
        restart_begins(turn, index)
    if compiled.kind is AgentKind.MODULE:
        if restarting:
            module.recover_first(turn, index)
        module.launch(turn, index)
    else:
        executor.launch(turn, index)
    if restarting and not flight.recovering:
        recovered(turn, index)


def _go_on(turn: Turn) -> None:
    """After a pause: launch what waits, and let agents take from their inboxes."""
    for index, agent in enumerate(turn.state.agents):
        if agent.flight is not None and agent.flight.phase == PARKED:
            _launch_waiting(turn, index)
        make_ready(turn, index)


def _recovered(turn: Turn, fact: Recovered) -> None:
    """A new owner has the job: launch again what the old one had under way."""
    state = turn.state
    finished = finish_of(state)
    if finished is not None:
        turn.commands.append(finished)
        return
    turn.tell("job_recovery_started", None, {"node": fact.node, "reason": fact.reason})
    run.found_again(turn)
    for index in range(len(state.agents)):
        _relaunch(turn, index)
    for timer_id, timer in state.timers.items():
        turn.commands.append(SetTimer(timer_id=timer_id, due_at=timer.due_at))
    turn.tell("job_recovered", None, {"status": state.status.value})


def _relaunch(turn: Turn, index: int) -> None:
    compiled, agent = turn.agent(index)
    interrupted = agent.flight is not None and agent.flight.phase == RUNNING
    if interrupted and agent.flight is not None:
        agent.flight.launch += 1
    elif agent.flight is not None:
        return
    if compiled.kind is AgentKind.MODULE:
        module.recover_first(turn, index)
    if interrupted and compiled.needs_review:
        park(turn, index, "a launch was cut by a crash")
    elif compiled.kind is AgentKind.MODULE and agent.flight is not None:
        module.launch(turn, index)
    elif interrupted:
        executor.launch(turn, index)


def _drain(turn: Turn) -> None:
    """Take messages until there are none, or the bound of one run is met."""
    state = turn.state
    while True:
        _take_all(turn)
        if turn.lost:
            letters.tell_steps(turn)
            continue
        if turn.hops >= MAX_HOPS or state.status is not JobStatus.RUNNING:
            break
        if not break_deadlock(turn):
            break
    state.wants_more = state.status is JobStatus.RUNNING and bool(
        state.queue or state.ready or (state.holds and turn.hops >= MAX_HOPS)
    )


def _take_all(turn: Turn) -> None:
    """Take messages in order, until there are none or the bound of one run is met."""
    state = turn.state
    while state.status is JobStatus.RUNNING and turn.hops < MAX_HOPS:
        if state.ready:
            turn.hops += 1
            _take_from_inbox(turn, state.ready.popleft())
        elif state.queue:
            _take_queue(turn)
        else:
            return


def _take_queue(turn: Turn) -> None:  # noqa: PLR0915 - a call per message would halve its speed
    """Take what is in the queue and what it leads to.

    Routers without conditions are handled right here (`route_on` is the plain twin): it is the
    path that must be fast, so it keeps everything in local variables, makes one hash a message,
    and writes nothing twice. The queue grows while it is walked; what was taken is cut off at the
    end.
    """
    job, state = turn.job, turn.state
    queue, ready, agents = state.queue, state.ready, state.agents
    index_of, compiled_agents = job.index_of, job.agents
    events, first, at = turn.events, turn.first, turn.at
    room = MAX_HOPS - turn.hops
    count = taken_here = change_bytes = 0
    routed: Message | None = None
    for message in queue:
        if ready:
            count += 1
            routed = None
            _take_from_inbox(turn, ready.popleft())
            if state.status is not JobStatus.RUNNING:
                break
        if count >= room:
            break
        count += 1
        taken_here += 1
        to = message.to
        index = index_of[to]
        compiled, agent = compiled_agents[index], agents[index]
        if not compiled.is_plain_router or agent.holding or agent.inbox:
            routed = None
            _take(turn, index, message)
            if state.status is not JobStatus.RUNNING:
                break
            continue
        routed = message
        events.append(Event(first + len(events), at, "agent_message_received", to, message))
        weight_bytes = message.weight_bytes
        change_bytes -= weight_bytes
        agent.depth -= 1
        agent.processed += 1
        if agent.level:
            taken(turn, index)
        hops = message.hops + 1
        near = hops <= MAX_HOPS_OF_MESSAGE
        message_type = compiled.emits or message.type
        parent_id = message.message_id
        parent_bytes = parent_id.encode()
        for link in compiled.routes.get(message_type, compiled.elsewhere).links:
            hashed = b2a_base64(sha256(parent_bytes + link.suffix).digest(), newline=False)
            new = Message(
                hashed.translate(URL_SAFE, b"=").decode(),
                message_type,
                link.target_id,
                to,
                message.class_,
                message.correlation_id,
                at,
                message.body,
                message.headers,
                message.artifacts,
                message.stream,
                parent_id,
                message.content_type,
                message.content_encoding,
                hops,
                weight_bytes,
            )
            target = agents[link.target]
            depth = target.depth + 1
            if depth < target.alarm and near:
                target.depth = depth
                queue.append(new)
                change_bytes += weight_bytes
            else:
                deliver(turn, index, link.target, new)
    del queue[:taken_here]
    turn.hops += count
    state.queued_bytes += change_bytes
    if routed is not None:
        state.last_agent, state.last_body = index_of[routed.to], routed.body


def _take(turn: Turn, index: int, message: Message) -> None:
    """Let the agent take the message; its inbox keeps it while it cannot, or others wait."""
    agent = turn.state.agents[index]
    if agent.holding or agent.flight is not None or agent.inbox or agent.due:
        if agent.inbox is None:
            agent.inbox = deque()
        agent.inbox.append(message)
        make_ready(turn, index)
    else:
        _handle(turn, index, message)


def _take_from_inbox(turn: Turn, index: int) -> None:
    agent = turn.state.agents[index]
    agent.ready = False
    if agent.holding or agent.flight is not None:
        return
    due = gate.take_due(turn, index) if agent.due else None
    if due is not None:
        _begin(turn, index, due, released=True)
        if turn.ended:
            follow_up(turn)
    elif agent.inbox:
        message = agent.inbox.popleft()
        if not agent.inbox:
            agent.inbox = None
        _handle(turn, index, message)
        if agent.due and agent.flight is not None:
            give_places(turn)
    else:
        return  # what is due finds no place among the running steps
    make_ready(turn, index)


def _handle(turn: Turn, index: int, message: Message) -> None:
    agent = turn.state.agents[index]
    agent.depth -= 1
    turn.state.queued_bytes -= message.weight_bytes
    if agent.level:
        taken(turn, index)
    _begin(turn, index, message)
    if turn.ended:
        follow_up(turn)


def _begin(turn: Turn, index: int, message: Message, *, released: bool = False) -> None:
    """Let the agent handle the message, if the ledger agrees."""
    compiled = turn.job.agents[index]
    turn.step = NO_STEP
    if turn.state.ledger is not None:
        admitted = gate.admit(turn, index, message, released=released)
        if admitted is None:
            return
        message = admitted
    turn.tell("agent_message_received", compiled.agent_id, message)
    match compiled.kind:
        case AgentKind.ROUTER if compiled.asks:
            gates.hold(turn, index, message)
        case AgentKind.ROUTER:
            route_on(turn, index, message)
        case AgentKind.AGGREGATOR:
            gather(turn, index, message)
        case AgentKind.SENSOR:
            observe(turn, index, message)
        case AgentKind.EXECUTOR:
            executor.take(turn, index, message)
        case AgentKind.MODULE:
            module.take(turn, index, message)
        case AgentKind.STEP_SOURCE:
            glue.start_step(turn, index, message)
        case AgentKind.STEP_JOIN:
            glue.join(turn, index, message)
        case AgentKind.STEP_SINK:
            glue.end_step(turn, index, message)
        case _:
            raise ValueError(f"{compiled.agent_id} is a {compiled.kind}: compile refuses those")
