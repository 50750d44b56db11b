"""Random jobs and random histories of them, with what must hold after every fact.

The reckoning of messages (`Ledger`) is a second, naive account of the contract: which messages must
exist, from what was handled, without queues, bounds or holding.
"""

from collections import Counter
from typing import Any

from hypothesis import strategies as st

from mnedge.engine import apply as apply_module
from mnedge.engine import route as route_module
from mnedge.engine.state import (
    RUNNING,
    AggregatorMemory,
    ExecutorMemory,
    Flight,
    GlueMemory,
    ModuleMemory,
    snapshot,
)
from mnedge.model.facts import (
    AttemptEnded,
    Complete,
    Completion,
    Continued,
    DeliverLater,
    Emission,
    Emit,
    ModuleAnswered,
    NamedEvent,
    Note,
    Noted,
    Outcome,
    Structured,
    Tell,
)
from mnedge.model.ids import derived_id
from mnedge.model.manifest import JobSpec
from mnedge.model.message import Message, output_id
from mnedge.model.states import JOB_MOVES, TERMINAL, AgentKind, JobStatus, OutcomeStatus, Verb
from tests.engine.jobs import JOB_ID, Play, agent, edge, failed, spec_of, succeeded

MAX_HOPS = 40
MAX_HOPS_OF_MESSAGE = 25
TYPES = ("x", "y")


def short_runs(patch: Any) -> None:
    """Let bounds be met within a few facts."""
    patch.setattr(apply_module, "MAX_HOPS", MAX_HOPS)
    for module in (apply_module, route_module):
        patch.setattr(module, "MAX_HOPS_OF_MESSAGE", MAX_HOPS_OF_MESSAGE)


# ---- jobs ----

CONDITIONS = st.sampled_from(
    [{}, {}, {}, {"all": []}, {"any": []}, {"path": "message.type", "value": "x"}]
)
BODIES = st.sampled_from(
    [{}, None, 1, {"agent_id": "w"}, {"agent_id": "v", "n": 2}, ["a"], {"text": "é" * 40}]
)


@st.composite
def configs(draw, kind):
    config: dict[str, Any] = {}
    if draw(st.booleans()):
        config["max_queue_depth"] = draw(st.integers(1, 3))
    if draw(st.integers(0, 9)) == 0:
        config["drop_policy"] = "block"
    if kind == "router" and draw(st.booleans()):
        config["emit_type"] = draw(st.sampled_from(TYPES))
    if kind in ("aggregator", "sensor", "executor"):
        config["output_message_type"] = draw(st.sampled_from([*TYPES, None]))
    if kind == "aggregator":
        config |= draw(st.sampled_from([{}, {"complete_on_message": True}, {"complete_after": 2}]))
    if kind == "executor":
        config |= draw(
            st.sampled_from(
                [
                    {},
                    {},
                    {"startup_delay_ms": 5},
                    {"failure_message_type": "x"},
                    {"side_effect": "w"},
                ]
            )
        )
    if draw(st.integers(0, 7)) == 0:
        config["complete_job"] = True
    return config


@st.composite
def specs(draw):
    kinds = ["router", "router", "aggregator", "sensor", "executor", "executor", "module"]
    count = draw(st.integers(1, 5))
    agents = []
    for number in range(count):
        kind = draw(st.sampled_from(kinds))
        agents.append(agent(f"a{number}", kind, **draw(configs(kind))))
    names = [one.agent_id for one in agents]
    edges = [
        edge(
            draw(st.sampled_from(names)),
            draw(st.sampled_from(names)),
            draw(st.sampled_from([*TYPES, "*"])),
            edge_id=f"e{number}",
            conditions=draw(CONDITIONS),
            routing_mode=draw(
                st.sampled_from(["broadcast", "broadcast", "broadcast", "first_match", "all_match"])
            ),
        )
        for number in range(draw(st.integers(0, 7)))
    ]
    seed = st.fixed_dictionaries(
        {"envelope": st.fixed_dictionaries({"class": st.sampled_from(["command", "stream"])})},
        optional={"body": BODIES},
    )
    entrypoints = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    seeds = {name: draw(st.lists(seed, min_size=1, max_size=6)) for name in entrypoints}
    policies = draw(
        st.sampled_from(
            [
                {},
                {},
                {"recovery_mode": "manual_recover"},
                {"restart": {"attempts": 2, "delay_ms": 5}},
                {"restart": {"attempts": 1, "mode": "delay", "interval_ms": 1000}},
                {"max_state_bytes": 20_000},
            ]
        )
    )
    return spec_of(
        agents,
        edges,
        seeds=seeds,
        policies=policies,
        job_type=draw(st.sampled_from(["batch", "batch", "service"])),
        generation=draw(st.sampled_from(["A", "C"])),
    )


# ---- histories ----

EMISSIONS = st.builds(
    Emission,
    type=st.sampled_from(TYPES),
    to=st.sampled_from([None, None, "a0", "a1", "ghost"]),
    body=BODIES,
    class_=st.sampled_from([None, "stream"]),
)
COMPLETIONS = st.builds(
    Completion, scope=st.sampled_from(["step", "step", "run"]), default=st.booleans()
)
STRUCTURED = st.builds(
    Structured,
    has_next_state=st.booleans(),
    next_state=BODIES,
    events=st.lists(st.just(NamedEvent(type="told", payload={})), max_size=1),
    emissions=st.lists(EMISSIONS, max_size=3),
)
COMPLETING = st.builds(Structured, completions=st.lists(COMPLETIONS, max_size=2))
OUTCOMES = st.one_of(
    st.builds(succeeded, st.just("out"), STRUCTURED),
    st.builds(succeeded, st.just("out"), STRUCTURED),
    st.builds(succeeded, st.just("out"), COMPLETING),
    st.just(failed()),
    st.just(Outcome(status=OutcomeStatus.STOPPED)),
)
ACTIONS = st.one_of(
    st.builds(Emit, emission=EMISSIONS),
    st.builds(Emit, emission=EMISSIONS),
    st.just(Tell(event=NamedEvent(type="told", payload={}))),
    st.builds(DeliverLater, delay_s=st.sampled_from([0.0, 1.0]), type=st.just("tick"), body=BODIES),
    st.builds(Complete, completion=st.builds(Completion, scope=st.just("step"), value=BODIES)),
)


@st.composite
def answers(draw, at, call_id, launch):
    error, crash = draw(
        st.sampled_from([(None, None)] * 6 + [("returned", None), (None, "exit code 9")])
    )
    return ModuleAnswered(
        at=at,
        call_id=call_id,
        launch=launch,
        actions=draw(st.lists(ACTIONS, max_size=3)),
        state=draw(BODIES),
        error=error,
        crash=crash,
    )


class History:
    """A job being played, with its reckoning of messages."""

    def __init__(self, spec: JobSpec) -> None:
        self.play = Play(spec)
        self.ledger = Ledger(self.play)
        self.ledger.check()

    def step(self, draw: Any) -> None:
        """Let something happen to the job."""
        play, state = self.play, self.play.state
        out = [
            (index, one.flight)
            for index, one in enumerate(state.agents)
            if one.flight is not None and one.flight.phase == RUNNING
        ]
        choices = ["send", "note", "ask", "crash", "bogus"]
        choices += ["continue"] * 8 * state.wants_more + ["timer"] * 6 * bool(state.timers)
        choices += ["answer"] * 12 * bool(out)
        play.at += draw(st.sampled_from([0.0, 0.25, 2.0, -3.0]))
        match draw(st.sampled_from(choices)):
            case "continue":
                play.give(Continued(at=play.at))
            case "answer":
                self._answer(draw, *draw(st.sampled_from(out)))
            case "timer":
                play.fired(draw(st.sampled_from(list(state.timers))))
            case "send":
                self._send(draw)
            case "note":
                play.give(Noted(at=play.at, notes=[Note(at=play.at, type="noted")]))
            case "ask":
                verbs = [*Verb, Verb.PAUSE, Verb.PAUSE, Verb.RESUME, Verb.RESUME, Verb.RESUME]
                play.asked(draw(st.sampled_from(verbs)), draw(st.sampled_from(["", "", "again"])))
            case "crash":
                play.crashed()
            case _:
                play.give(AttemptEnded(at=play.at, attempt_id="a0:x", launch=1, outcome=failed()))
        self.ledger.check()

    def _answer(self, draw: Any, index: int, flight: Flight) -> None:
        play = self.play
        agent_id = play.job.agents[index].agent_id
        if play.job.agents[index].kind is AgentKind.EXECUTOR:
            outcome = draw(OUTCOMES)
            self.ledger.outcome(agent_id, flight.message, outcome)
            play.give(
                AttemptEnded(
                    at=play.at, attempt_id=flight.work_id, launch=flight.launch, outcome=outcome
                )
            )
            return
        fact = draw(answers(play.at, flight.work_id, flight.launch))
        if flight.recovering:
            times = play.state.agents[index].memory.recoveries
            parent_id = derived_id(f"{JOB_ID}:recovery:{agent_id}:{times}", size_bytes=10)
            parent = Message(parent_id, "recovery", agent_id, "runtime", "control", "", 0.0)
            self.ledger.answer(agent_id, parent, fact)
        else:
            self.ledger.answer(agent_id, flight.message, fact)
            if fact.error is None and fact.crash is None:
                self.ledger.handled[flight.message.message_id] += 1
        play.give(fact)

    def _send(self, draw: Any) -> None:
        to = draw(st.sampled_from(["a0", "a1", "a2", "ghost"]))
        seed = f"outside:{len(self.play.records)}"
        self.ledger.expected[derived_id(seed, size_bytes=10)] += 1
        class_ = draw(st.sampled_from(["command", "stream"]))
        self.play.sent(to, draw(BODIES), **{"class": class_})


# ---- what must hold ----


class Ledger:
    """Which messages must exist, by a naive reading of the contract, and where they are."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.expected: Counter[str] = Counter(seed_ids(play, everything=True))
        self.handled: Counter[str] = Counter()
        self.gone: Counter[str] = Counter()
        self.seen: dict[str, dict[str, bool]] = {}
        self.counts: Counter[str] = Counter()
        self.edges: dict[str, list[Any]] = {}
        for one in play.job.spec.edges:
            self.edges.setdefault(one.sender, []).append(one)
        self.read = 0

    def check(self) -> None:
        """Take in what the last fact did, and compare."""
        if self.play.state.status in TERMINAL:
            return
        for event in self.play.events[self.read :]:
            match event.type:
                case "agent_message_received":
                    self._handled(event.agent_id, event.payload)
                case "dead_letter":
                    self.gone[event.payload["message_id"]] += 1
                case "backpressure_signal" if event.payload.get("dropped"):
                    self.gone[event.payload["message_id"]] += 1
        self.read = len(self.play.events)
        present = Counter(message.message_id for message in messages_in(self.play))
        present.update(seed_ids(self.play, everything=False))
        assert self.expected == self.handled + self.gone + present
        assert max(self.expected.values()) == 1

    def _handled(self, agent_id: str, message: Message) -> None:
        compiled = self.play.job.agents[self.play.job.index_of[agent_id]]
        if compiled.kind not in (AgentKind.EXECUTOR, AgentKind.MODULE):
            self.handled[message.message_id] += 1
        match compiled.kind:
            case AgentKind.ROUTER:
                self._along(agent_id, message, compiled.emits or message.type, 0)
            case AgentKind.SENSOR:
                self._along(agent_id, message, compiled.emits, 1)
            case AgentKind.AGGREGATOR:
                self._gathered(compiled, agent_id, message)

    def _gathered(self, compiled: Any, agent_id: str, message: Message) -> None:
        who = message.body.get("agent_id") if isinstance(message.body, dict) else None
        if isinstance(who, str):
            if who in self.seen.setdefault(agent_id, {}):
                return
            self.seen[agent_id][who] = True
        self.counts[agent_id] += 1
        enough = compiled.threshold is not None and self.counts[agent_id] >= compiled.threshold
        if (compiled.on_message or enough) and compiled.emits:
            self._along(agent_id, message, compiled.emits, 1)

    def _along(self, agent_id: str, message: Message, message_type: str, action: int) -> None:
        fitting = [e for e in self.edges.get(agent_id, []) if e.message_type in (message_type, "*")]
        holding = [e for e in fitting if naive(e.conditions, message)]
        if any(e.routing_mode == "first_match" for e in fitting):
            holding = holding[:1]
        for one in holding:
            key = f"{action}:{one.edge_id}"
            self.expected[output_id(message.message_id, agent_id, one.target, key)] += 1

    def _sent(self, agent_id: str, message: Message, emission: Emission, action: int) -> None:
        if emission.to is None:
            self._along(agent_id, message, emission.type, action)
        else:
            new = output_id(message.message_id, agent_id, emission.to, str(action))
            self.expected[new] += 1

    def outcome(self, agent_id: str, message: Message, outcome: Outcome) -> None:
        """An executor's current launch is about to answer."""
        compiled = self.play.job.agents[self.play.job.index_of[agent_id]]
        if outcome.status is OutcomeStatus.SUCCEEDED:
            self.handled[message.message_id] += 1
            structured = outcome.structured or Structured()
            action = 1 + len(structured.events) + len(structured.completions)
            if compiled.emits is not None:
                self._along(agent_id, message, compiled.emits, action)
                action += 1
            action += compiled.completes
            for position, emission in enumerate(structured.emissions):
                self._sent(agent_id, message, emission, action + position)
        elif outcome.status is OutcomeStatus.FAILED and compiled.failure_type is not None:
            self.handled[message.message_id] += 1
            self._along(agent_id, message, compiled.failure_type, 1)

    def answer(self, agent_id: str, message: Message, fact: ModuleAnswered) -> None:
        """A module's current call is about to be answered."""
        if fact.error is not None or fact.crash is not None:
            return
        for position, action in enumerate(fact.actions):
            if isinstance(action, Emit):
                self._sent(agent_id, message, action.emission, position)
            elif isinstance(action, DeliverLater):
                new = output_id(message.message_id, agent_id, agent_id, str(position))
                self.expected[new] += 1


def seed_ids(play: Play, *, everything: bool) -> list[str]:
    """Ids of all seeds, or of those not delivered yet."""
    found = []
    for name, values in play.job.spec.seeds.items():
        left = play.state.agents[play.job.index_of[name]].seeds_left
        positions = range(0 if everything else len(values) - left, len(values))
        found += [derived_id(f"{JOB_ID}:seed:{name}:{n}", size_bytes=10) for n in positions]
    return found


def naive(conditions: dict[str, Any], message: Message) -> bool:
    if conditions == {"any": []}:
        return False
    return "path" not in conditions or message.type == "x"


def messages_in(play: Play) -> list[Message]:
    """Every message that is somewhere in the state, each place once."""
    state = play.state
    found = list(state.queue)
    for one in state.agents:
        found += one.inbox or ()
        found += [item.message for item in one.held or ()]
        found += [item.message for item in one.outside or ()]
        if one.flight is not None and one.flight.message is not None:
            found.append(one.flight.message)
    found += [timer.message for timer in state.timers.values() if timer.message is not None]
    return found


def sound(play: Play) -> None:
    """The state agrees with itself."""
    state = play.state
    timers = sum(t.message.weight_bytes for t in state.timers.values() if t.message is not None)
    if state.status not in TERMINAL:
        waiting = sum(message.weight_bytes for message in messages_in(play))
        assert state.queued_bytes == waiting - timers
    kept = sum(
        one.memory.weight_bytes
        for one in state.agents
        if isinstance(one.memory, AggregatorMemory | ExecutorMemory | GlueMemory | ModuleMemory)
    )
    kept += sum(letter.weight_bytes for letter in state.letters.values())
    if state.people is not None:
        kept += sum(request.weight_bytes for request in state.people.pending.values())
    assert state.kept_bytes == kept + timers
    assert state.flights == sum(one.flight is not None for one in state.agents)
    assert state.holds == sum(len(one.held or ()) for one in state.agents)
    assert state.holds == sum(one.holding for one in state.agents)
    queued = Counter(message.to for message in state.queue)
    for compiled, one in zip(play.job.agents, state.agents, strict=True):
        assert one.depth == queued[compiled.agent_id] + len(one.inbox or ())
        assert one.level == compiled.bounds.level(one.depth, one.level)
        assert one.alarm == compiled.bounds.alarm(one.level)
        assert one.ready == (compiled.index in state.ready)
        if one.held or one.outside or one.seeds_left:
            assert one.depth >= compiled.bounds.most or state.status is JobStatus.PENDING
    if state.status is JobStatus.RUNNING and not state.wants_more:
        assert not state.queue
        assert not state.ready
        for one in state.agents:
            assert not one.inbox or one.holding or one.flight is not None


def numbered(play: Play) -> None:
    """Events are numbered without gaps, and job time never goes back."""
    assert [event.seq for event in play.events] == list(range(1, len(play.events) + 1))
    assert play.state.event_seq == len(play.events)
    times = [event.at for event in play.events if event.type != "noted"]
    assert times == sorted(times)


def moves(before: JobStatus, after: JobStatus) -> bool:
    """Tell whether the table allows to get from one status to another, over some between."""
    reached, waiting = {before}, [before]
    while waiting:
        new = JOB_MOVES[waiting.pop()] - reached
        reached |= new
        waiting += new
    return after in reached


def final(play: Play) -> None:
    """One completion, and none after the end."""
    finishes = [c for c in play.commands if type(c).__name__ == "FinishJob"]
    assert all(one == finishes[0] for one in finishes)
    ends = [t for t in play.types if t in ("job_completed", "job_failed", "job_cancelled")]
    assert len(ends) == (1 if play.state.status in TERMINAL else 0)


def fingerprint(play: Play) -> tuple[bytes, list[Any]]:
    return snapshot(play.state), play.steps
