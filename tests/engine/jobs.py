"""Small jobs and a driver that keeps the journal, for the tests of the engine."""

from collections.abc import Sequence
from typing import Any

from mnedge.engine.apply import apply
from mnedge.engine.compile import CompiledJob, compile_job
from mnedge.engine.state import JobState, new_state, restore, snapshot
from mnedge.model.codec import decode_fact, encode_fact
from mnedge.model.commands import AnyCommand, CallModule, FinishJob, RunAttempt, SetTimer
from mnedge.model.events import Event, payload_of
from mnedge.model.facts import (
    Action,
    AnyFact,
    AttemptEnded,
    Continued,
    MessageArrived,
    ModuleAnswered,
    OperatorAsked,
    Outcome,
    Recovered,
    Structured,
    Submitted,
    TimerFired,
)
from mnedge.model.manifest import Agent, Edge, JobSpec
from mnedge.model.message import normalise
from mnedge.model.states import AgentKind, OutcomeStatus, Verb

JOB_ID = "trial-1"


def agent(agent_id: str, kind: str = "router", **config: Any) -> Agent:
    return Agent(agent_id=agent_id, kind=AgentKind(kind), config=config)


def edge(sender: str, target: str, message_type: str = "*", **more: Any) -> Edge:
    edge_id = more.pop("edge_id", f"{sender}__{message_type}__{target}")
    return Edge(edge_id=edge_id, sender=sender, target=target, message_type=message_type, **more)


def spec_of(
    agents: Sequence[Agent],
    edges: Sequence[Edge] = (),
    *,
    seeds: dict[str, list[Any]] | None = None,
    entrypoints: Sequence[str] | None = None,
    **more: Any,
) -> JobSpec:
    given = {agents[0].agent_id: [{}]} if seeds is None else seeds
    return JobSpec(
        blueprint_id="trial",
        graph_id="trial_v1",
        job_name="trial",
        agents=list(agents),
        edges=list(edges),
        entrypoints=list(given if entrypoints is None else entrypoints),
        seeds=given,
        **more,
    )


def succeeded(stdout: str = "", structured: Structured | None = None, **more: Any) -> Outcome:
    result = {"sandbox_name": "box", "exit_code": 0, "stdout": stdout, "attempts": 1}
    result["lease"] = {"lease_id": "lease-1", "pool": "default", "slots": 1}
    return Outcome(status=OutcomeStatus.SUCCEEDED, result=result, structured=structured, **more)


def failed(error: dict[str, Any] | None = None) -> Outcome:
    return Outcome(
        status=OutcomeStatus.FAILED,
        error={"error": "no luck", "exit_code": 3, "attempts": 1} if error is None else error,
    )


class Play:
    """One job being played: every fact goes through its record first, as in the real thing."""

    def __init__(self, spec: JobSpec, *, started: bool = True, at: float = 100.0) -> None:
        self.job: CompiledJob = compile_job(spec)
        self.state: JobState = new_state(self.job, JOB_ID)
        self.at = at
        self.records: list[bytes] = []
        self.commands: list[AnyCommand] = []
        self.events: list[Event] = []
        self.steps: list[tuple[list[AnyCommand], list[Event]]] = []
        if started:
            self.give(Submitted(at=self.at, node="here"))

    def give(self, fact: AnyFact) -> list[Event]:
        """Apply one fact; return its events."""
        record = encode_fact(fact)
        self.records.append(record)
        commands, events = apply(self.job, self.state, decode_fact(record), len(self.records))
        self.steps.append((commands, events))
        self.commands += commands
        self.events += events
        return events

    # ---- what one asks about ----

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def told(self, name: str) -> list[dict[str, Any]]:
        """Payloads of all events of a type."""
        return [payload_of(event, JOB_ID) for event in self.events if event.type == name]

    def received(self, agent_id: str) -> list[Any]:
        """Bodies that an agent took, in order."""
        return [
            event.payload.body
            for event in self.events
            if event.type == "agent_message_received" and event.agent_id == agent_id
        ]

    def commanded(self, kind: type) -> list[Any]:
        return [command for command in self.commands if isinstance(command, kind)]

    @property
    def launches(self) -> list[RunAttempt]:
        return self.commanded(RunAttempt)

    @property
    def calls(self) -> list[CallModule]:
        return self.commanded(CallModule)

    @property
    def timers(self) -> dict[str, float]:
        return {timer_id: timer.due_at for timer_id, timer in self.state.timers.items()}

    @property
    def finished(self) -> FinishJob | None:
        found = self.commanded(FinishJob)
        return found[-1] if found else None

    def memory(self, agent_id: str) -> Any:
        return self.state.agents[self.job.index_of[agent_id]].memory

    # ---- what happens to it ----

    def ended(
        self, launch: RunAttempt | None = None, outcome: Outcome | None = None
    ) -> list[Event]:
        launch = launch or self.launches[-1]
        return self.give(
            AttemptEnded(
                at=self.at,
                attempt_id=launch.attempt_id,
                launch=launch.launch,
                outcome=outcome or succeeded(),
            )
        )

    def answered(
        self, call: CallModule | None = None, actions: Sequence[Action] = (), **more: Any
    ) -> list[Event]:
        call = call or self.calls[-1]
        return self.give(
            ModuleAnswered(
                at=self.at,
                call_id=call.call_id,
                launch=call.launch,
                actions=list(actions),
                **more,
            )
        )

    def fired(self, timer_id: str) -> list[Event]:
        self.at = max(self.at, self.timers.get(timer_id, self.at))
        return self.give(TimerFired(at=self.at, timer_id=timer_id))

    def asked(self, verb: Verb, request_id: str = "", **more: Any) -> list[Event]:
        request_id = request_id or f"{verb}-{len(self.records)}"
        return self.give(OperatorAsked(at=self.at, request_id=request_id, verb=verb, **more))

    def sent(self, to: str, body: Any = None, **envelope: Any) -> list[Event]:
        value = {"envelope": {"to": to, **envelope}, "body": body}
        seed = f"outside:{len(self.records)}"
        message = normalise(value, at=self.at, seed=seed, sender="external", class_="command")
        return self.give(MessageArrived(at=self.at, message=message))

    def crashed(self) -> list[Event]:
        """The owner dies: the state is read from its snapshot, and a new owner takes over."""
        self.reread()
        return self.give(Recovered(at=self.at, node="there", reason="owner restarted"))

    def reread(self) -> None:
        before = snapshot(self.state)
        self.state = restore(self.job, before)
        assert snapshot(self.state) == before

    def drained(self) -> int:
        """Continue until nothing is left to take; return how often that was needed."""
        times = 0
        while self.state.wants_more:
            self.give(Continued(at=self.at))
            times += 1
        return times


def timers_set(commands: Sequence[AnyCommand]) -> dict[str, float]:
    return {one.timer_id: one.due_at for one in commands if isinstance(one, SetTimer)}
