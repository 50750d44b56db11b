"""One history played on two ledgers at once, compared after every move.

To see a seed again: `python -m tests.engine.second_ledger.compare SEED`.
"""

import re
import sys
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

import msgspec

from mnedge.engine.ledger.view import workflow_state
from mnedge.model.commands import ClearTimer, FinishJob, RunAttempt, SetTimer, StopAttempt
from mnedge.model.events import Event
from mnedge.model.facts import (
    AnyFact,
    AttemptEnded,
    MessageArrived,
    Note,
    Noted,
    OperatorAsked,
    Outcome,
    Recovered,
    Submitted,
    TimerFired,
    WorkerSaid,
)
from mnedge.model.manifest import JobSpec
from mnedge.model.message import Message, normalise
from mnedge.model.states import JobStatus, OutcomeStatus, Verb
from tests.engine.jobs import Play
from tests.engine.second_ledger.histories import Move, draw_move, draw_spec
from tests.engine.second_ledger.ledger import OVER, REPORTS, Ledger
from tests.engine.second_ledger.plain import Key, Plain

JOB_EVENTS = (
    "job_pausing", "job_paused", "job_resumed", "job_cancelled", "job_completed", "job_failed",
)  # fmt: skip
ANSWER = Outcome(status=OutcomeStatus.SUCCEEDED, result={"stdout": "late", "exit_code": 0})


class Disagreement(AssertionError):
    """The two ledgers differ."""


class Engine:
    """The engine's ledger as one side of a comparison: moved by facts, and looked at."""

    def __init__(self, spec: JobSpec) -> None:
        self.play = Play(spec, started=False)
        self.running: dict[str, RunAttempt] = {}
        self.launched: list[RunAttempt] = []
        self.timers: dict[str, float] = {}
        self.read = 0

    def give(self, fact: AnyFact) -> None:
        if len(self.play.records) % 5 == 4:
            self.play.reread()
        self.play.give(fact)
        for command in self.play.steps[-1][0]:
            match command:
                case RunAttempt():
                    self.running[command.attempt_id] = command
                    self.launched.append(command)
                case StopAttempt():
                    self.running.pop(command.attempt_id, None)
                case SetTimer():
                    self.timers[command.timer_id] = command.due_at
                case ClearTimer():
                    self.timers.pop(command.timer_id, None)
                case FinishJob():
                    self.running.clear()
                    self.timers.clear()

    def out(self) -> list[Key]:
        return sorted(key_of(command) for command in self.running.values())

    def over(self) -> list[RunAttempt]:
        out = self.out()
        found = {key_of(one): one for one in self.launched if key_of(one) not in out}
        return [found[key] for key in sorted(found)]

    def of(self, agent: str) -> RunAttempt:
        """The launch that an agent has out."""
        return next(one for one in self.running.values() if one.agent_id == agent)

    def move(self, move: Move) -> None:
        at = move.at
        if move.kind not in ("submit", "crash"):
            self.pass_time(at)
        match move.kind:
            case "submit":
                self.give(Submitted(at=at, node="here"))
            case "end":
                launch = self.of(move.agent)
                del self.running[launch.attempt_id]
                self.give(ended(at, launch, move.outcome or ANSWER))
            case "said":
                launch = self.of(move.agent)
                assert move.event is not None
                self.give(said(at, launch, move))
            case "send":
                self.give(sent(at, move))
            case "beacon":
                self.give(beacon(at, self.of(move.agent), move))
            case "crash":
                self.play.reread()
                self.give(Recovered(at=at, node="there", reason="owner restarted"))
                if move.request_id:
                    self.ask(at, Verb.PAUSE, move.request_id)
                self.pass_time(at)
            case "late" | "late_said" | "late_beacon" if self.over():
                over = self.over()
                launch = over[int(move.pick * len(over))]
                if move.kind == "late":
                    self.give(ended(at, launch, ANSWER))
                elif move.kind == "late_said":
                    self.give(said(at, launch, move))
                else:
                    self.give(beacon(at, launch, move))
            case "pause" | "resume" | "cancel":
                self.ask(at, Verb(move.kind), move.request_id)

    def ask(self, at: float, verb: Verb, request_id: str) -> None:
        self.give(OperatorAsked(at=at, request_id=request_id, verb=verb))

    def pass_time(self, until: float) -> None:
        """Timers that are due fire, in order."""
        while self.timers:
            due_at, timer_id = min((due_at, name) for name, due_at in self.timers.items())
            if due_at > until:
                return
            del self.timers[timer_id]
            self.give(TimerFired(at=max(due_at, self.play.at), timer_id=timer_id))

    def told(self) -> list[tuple[str, str | None]]:
        new = self.play.events[self.read :]
        self.read = len(self.play.events)
        return [(event.type, event.step_id) for event in new if is_compared(event)]

    def result(self) -> Any:
        finished = self.play.finished
        if finished is None or finished.status is not JobStatus.COMPLETED:
            return None
        output = finished.result["output"]
        if isinstance(output, dict) and "last_message" in output:
            output = output["last_message"]
        made_by_worker = isinstance(output, dict) and {"token", "sandbox", "error"} & {
            *output,
            *(output.get("outputs") or {}),
        }
        if made_by_worker:
            output = {"out": label_of_body(output)}
        return finished.result["agent_id"], output

    def view(self) -> dict[str, Any]:
        state = workflow_state(self.play.job, self.play.state)
        return {
            "job": str(self.play.state.status),
            "result": self.result(),
            "revision": state["graph_revision"],
            "order": state["step_order"],
            "edges": [(e["from"], e["to"], e["accepts"]) for e in state["edges"]],
            "steps": {
                name: {
                    "status": one["status"],
                    "outcome": one["terminal_outcome"],
                    "attempt_count": one["attempt_count"],
                    "attempts": [(a["attempt_id"], a["status"]) for a in one["attempts"]],
                    "attempt": one["current_attempt"],
                    "deadline_at": seconds(one["deadline_at"]),
                    "heartbeat_deadline_at": seconds(one["heartbeat_deadline_at"]),
                    "retry_at": seconds(one["retry_at"]),
                    "waiting": one["waiting_messages"],
                }
                for name, one in state["steps"].items()
            },
            "out": self.out(),
        }


def seconds(moment: str | None) -> float | None:
    """Units: seconds since 1970, to the millisecond."""
    return None if moment is None else datetime.fromisoformat(moment).timestamp()


def is_compared(event: Event) -> bool:
    """What a worker publishes itself stands beside what the ledger says, under the same names."""
    if event.type in REPORTS:
        return "step" in event.payload and "step_id" in event.payload
    return event.type.startswith("workflow_") or event.type in JOB_EVENTS


def sent(at: float, move: Move) -> AnyFact:
    headers = {} if move.step is None else {"mn.workflow.step_id": move.step}
    envelope = {"to": move.agent, "type": "more", "class": "command"}
    value = {"envelope": envelope, "headers": headers, "body": {"token": move.label}}
    return MessageArrived(at=at, message=normalise(value, at=at, seed=move.label))


def ended(at: float, launch: RunAttempt, outcome: Outcome) -> AnyFact:
    return AttemptEnded(at=at, attempt_id=launch.attempt_id, launch=launch.launch, outcome=outcome)


def said(at: float, launch: RunAttempt, move: Move) -> AnyFact:
    event = move.event
    assert event is not None
    return WorkerSaid(at=at, work_id=launch.attempt_id, launch=launch.launch, event=event)


def beacon(at: float, launch: RunAttempt, move: Move) -> AnyFact:
    payload = {} if move.timeout_ms is None else {"timeout_ms": move.timeout_ms}
    note = Note(
        at=at,
        type="agent_beacon",
        agent_id=launch.agent_id,
        payload=payload,
        work_id=launch.attempt_id,
        launch=launch.launch,
    )
    return Noted(at=at, notes=[note])


def key_of(command: RunAttempt) -> Key:
    attempt = command.workflow.get("attempt_id", "")
    return (command.agent_id, attempt, label_of(command.message), command.launch)


def label_of(message: Message) -> str:
    """Return by what a worker's answer, a seed or an item is told from others."""
    body = message.body
    if message.type == "workflow_trigger":
        return "trigger"
    if message.type == "workflow_scatter_item":
        return f"item:{body['map_index']}"
    return label_of_body(body)


def label_of_body(body: dict[str, Any]) -> str:
    if "token" in body:
        return str(body["token"])
    if "sandbox" in body:
        return str(body["sandbox"]["stdout"])
    found = re.search(r"luck of (\w+)", str(body["outputs"]["error"]))
    assert found is not None, body
    return found[1]


# ---- both at once ----


class Match:
    """A history of one seed, on both sides."""

    def __init__(self, seed: int, make: Callable[[JobSpec], Ledger] = Ledger) -> None:
        self.rng = Random(seed)
        self.spec = draw_spec(self.rng)
        self.plain = Plain(self.spec, make)
        self.engine = Engine(self.spec)
        self.moves: list[Move] = []

    def play(self) -> None:
        """Raises: Disagreement at the first difference."""
        while (move := draw_move(self.rng, self.plain.ledger, len(self.moves))) is not None:
            self.moves.append(move)
            self.plain.move(move)
            self.engine.move(move)
            self.compare()

    def compare(self) -> None:
        told = [self.plain.told(), self.engine.told()]
        views = [self.plain.view(), self.engine.view()]
        over = views[0]["job"] in OVER
        differ(views[0]["job"], views[1]["job"], "the job")
        for step in dict.fromkeys(step for side in told for _, step in side):
            of = [[event for event, about in side if about == step] for side in told]
            kept = [[e for e in side if e not in IGNORED] for side in of]
            differ(kept[0], kept[1], f"events of {step}")
            ignored = [sorted(e for e in side if e in IGNORED) for side in of]
            if not over:
                differ(ignored[0], ignored[1], f"messages of {step} that were ignored")
        for name in ("result", "order", "edges", "revision"):
            differ(views[0][name], views[1][name], name)
        for step, one in views[0]["steps"].items():
            other = views[1]["steps"][step]
            for key in ("status", "outcome", "attempt_count") if over else one:
                differ(one[key], other[key], f"{key} of {step}")
        differ(views[0]["out"], views[1]["out"], "work that is out")
        self.compare_timers()

    def compare_timers(self) -> None:
        """Whatever will happen by itself, the engine has a timer for."""
        for at, kind, step in self.plain.ledger.timers()[:1]:
            dues = self.engine.timers.values()
            if not any(same(at, due) or (kind == "heartbeat" and due < at) for due in dues):
                raise Disagreement(f"no timer for the {kind} {step} at {at}: {self.engine.timers}")


IGNORED = ("workflow_step_duplicate_message_ignored", "workflow_step_stale_output_ignored")
"""No order says when; and when the job ends, nor how many messages were still looked at."""


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float | int):
        return abs(one - other) < 0.001
    return bool(one == other)


def differ(one: Any, other: Any, what: str) -> None:
    if not same(one, other):
        raise Disagreement(f"{what}: the second ledger says {one!r}, the engine {other!r}")


# ---- telling ----


def story(match: Match) -> str:
    """Return the graph and what happened, for a person."""
    flow = match.spec.workflow
    assert flow is not None
    return "\n".join(
        [
            "steps:",
            *(f"  {short(step)}" for step in flow.steps),
            "step edges:",
            *(f"  {edge.source} → {edge.target} {edge.accepts}" for edge in flow.edges),
            f"dynamic: {short(flow.dynamic)}",
            f"run at once: {flow.max_parallel_steps}",
            "agents:",
            *(f"  {agent.agent_id} {agent.config}" for agent in match.spec.agents),
            "agent edges:",
            *(f"  {e.sender} → {e.target} {e.message_type}" for e in match.spec.edges),
            f"seeds: {match.spec.seeds}",
            "moves:",
            *(f"  {number}: {short(move)}" for number, move in enumerate(match.moves)),
        ]
    )


def short(value: Any) -> str:
    return str(msgspec.to_builtins(value))


def judged(seed: int, make: Callable[[JobSpec], Ledger] = Ledger) -> str | None:
    """Return how the two differ on a seed, with its story; None if they agree."""
    match = Match(seed, make)
    again = f"again: python -m tests.engine.second_ledger.compare {seed}"
    try:
        match.play()
    except Disagreement as difference:
        return f"seed {seed}\n{story(match)}\n{difference}\n{again}"
    except Exception as error:
        error.add_note(f"seed {seed}\n{story(match)}\n{again}")
        raise
    return None


def main() -> None:
    for seed in map(int, sys.argv[1:]):
        match = Match(seed)
        try:
            match.play()
        except Exception:
            print(story(match))
            print("before the last move:", short(match.plain.view()))
            raise
        print(f"seed {seed}: they agree, {len(match.moves)} moves, {match.plain.ledger.status}")


if __name__ == "__main__":
    main()
