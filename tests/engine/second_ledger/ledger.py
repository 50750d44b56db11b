"""A second ledger: one workflow job, by a slow and plain reading of the contract.

It shares nothing with the engine but the words of `mnedge.model`. It keeps no counters and no
indexes: whatever it wants to know it finds by looking through all steps, edges and agents, again
and again, until nothing changes any more. Its agents are executors, and at most one terminal sink.
"""

from typing import Any

from mnedge.model.facts import NamedEvent, Outcome, Structured
from mnedge.model.manifest import Agent, JobSpec, Step
from mnedge.model.states import FailurePolicy, OutcomeStatus, TriggerRule

SUCCESSFUL = ("completed", "partial", "skipped")
TERMINAL = (*SUCCESSFUL, "failed")
UNSTARTED = ("pending", "ready", "blocked")
ACTIVE = ("queued", "running", "retry_wait", "waiting")
OVER = ("completed", "failed", "cancelled")

SILENT_S = 1.0
STALLED_S = 30.0
MAX_ITEMS = 1000

COMPLETED_BY = ("workflow_step_completed", "workflow_step_attempt_completed")
FLIGHT_ONLY = ("workflow_graph_patch", "workflow_controller_checkpoint")
REPORTS = (
    *COMPLETED_BY,
    "workflow_step_partial",
    "workflow_step_skipped",
    "workflow_step_failed",
    "workflow_step_branch",
    "workflow_step_scatter",
    *FLIGHT_ONLY,
)

Record = dict[str, Any]
"""A step, an edge, a message or a flight, as plain members."""


class Rejected(Exception):
    """A graph patch that is refused, with the reason."""


def record_of(step: Step) -> Record:
    return {
        "definition": step,
        "agents": list(step.agent_ids),
        "agent": step.agent_ids[0],
        "status": "pending",
        "outcome": None,
        "count": 0,
        "attempt": None,
        "attempts": [],
        "deadline_at": None,
        "heartbeat_deadline_at": None,
        "retry_at": None,
        "waiting": [],
        "again": [],
        "last": None,
        "taken": [],
        "nudged": 0,
        "queued": 0,
        "output": None,
        "region": None,
        "patch": None,
    }


def content_of(patch: Record) -> Record:
    """What makes two patches the same: not the revision that they start from."""
    return {key: value for key, value in patch.items() if key != "base_revision"}


class Ledger:
    """One job. What it would publish is in `events`, as `(type, step id or None)`."""

    def __init__(self, spec: JobSpec) -> None:
        assert spec.workflow is not None
        self.spec = spec
        self.flow = spec.workflow
        self.now = 0.0
        self.status = "pending"
        self.events: list[tuple[str, str | None]] = []
        self.agents: dict[str, Agent] = {agent.agent_id: agent for agent in spec.agents}
        self.steps: dict[str, Record] = {s.step_id: record_of(s) for s in self.flow.steps}
        self.order: list[str] = list(self.steps)
        self.edges: list[Record] = [
            {
                "id": e.edge_id,
                "from": e.source,
                "to": e.target,
                "accepts": list(e.accepts),
                "dynamic": False,
                "region": None,
                "patch": None,
                "checkpoint_revision": None,
            }
            for e in self.flow.edges
        ]
        self.revision = 0
        self.patches: dict[str, Record] = {}
        self.mail: dict[str, list[Record]] = {name: [] for name in self.agents}
        self.due: dict[str, list[str]] = {name: [] for name in self.agents}
        self.flights: dict[str, Record] = {}
        self.stopped: list[Record] = []
        self.queued = 0
        self.bell: list[str] = []
        self.retired: list[str] = []
        self.emptied: list[tuple[str, str]] = []
        self.deferred: list[Any] = []
        self.result: Any = None
        self.completed_in_order: list[str] = []
        self.paused_at = 0.0
        self.silent_since: float | None = None
        self.asked_silence = False
        self.asked_at = 0.0
        self.requests: list[str] = []
        self.speaker: str | None = None
        self.gathered: list[str] = []

    def say(self, event: str, step: str | None = None) -> None:
        self.events.append((event, step))

    # ---- who is who ----

    def claimed_by(self, agent: str) -> str | None:
        """The first step, then the first template, whose agent it is."""
        templates = list(self.flow.dynamic.templates) if self.flow.dynamic else []
        for step in [*self.flow.steps, *templates]:
            if agent in step.agent_ids:
                return step.step_id
        return None

    def is_sink(self, agent: str) -> bool:
        config = self.agents[agent].config
        free = self.claimed_by(agent) is None
        return free and bool(config.get("terminal_sink") and config.get("complete_run"))

    def has_sink(self) -> bool:
        return any(self.is_sink(name) for name in self.agents)

    # ---- trigger rules ----

    def into(self, step: str) -> list[Record]:
        return [edge for edge in self.edges if edge["to"] == step]

    def out_of(self, step: str) -> list[Record]:
        return [edge for edge in self.edges if edge["from"] == step]

    def is_open(self, edge: Record) -> bool:
        """A parent that is unknown, or has checkpointed: satisfied, success and terminal."""
        checkpoint = edge["checkpoint_revision"]
        return edge["from"] not in self.steps or (
            checkpoint is not None and checkpoint <= self.revision
        )

    def is_done(self, edge: Record) -> bool:
        return self.is_open(edge) or self.steps[edge["from"]]["status"] in TERMINAL

    def is_success(self, edge: Record) -> bool:
        if self.is_open(edge):
            return True
        parent = self.steps[edge["from"]]
        return parent["status"] == "completed" or parent["outcome"] == "success"

    def is_failure(self, edge: Record) -> bool:
        if self.is_open(edge):
            return False
        parent = self.steps[edge["from"]]
        return parent["status"] == "failed" or parent["outcome"] == "failed"

    def is_accepted(self, edge: Record) -> bool:
        if self.is_open(edge):
            return True
        status = self.steps[edge["from"]]["status"]
        names = ("done", "completed") if status == "completed" else (status,)
        return status in SUCCESSFUL and any(name in edge["accepts"] for name in names)

    def satisfied(self, step: str) -> bool:
        edges = self.into(step)
        definition = self.steps[step]["definition"]
        done = all(self.is_done(edge) for edge in edges)
        successes = sum(self.is_success(edge) for edge in edges)
        match definition.rule:
            case TriggerRule.ALL_SUCCESS:
                return all(self.is_accepted(edge) for edge in edges)
            case TriggerRule.ALL_DONE:
                return done
            case TriggerRule.ONE_SUCCESS:
                return successes > 0
            case TriggerRule.ONE_DONE:
                return any(self.is_done(edge) for edge in edges)
            case TriggerRule.ONE_FAILED:
                return any(self.is_failure(edge) for edge in edges)
            case TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS:
                none_failed = not any(self.is_failure(edge) for edge in edges)
                return done and none_failed and successes > 0
            case TriggerRule.QUORUM_SUCCESS:
                return successes >= (definition.quorum or 1)

    def impossible(self, step: str) -> bool:
        edges = self.into(step)
        if not edges or self.satisfied(step):
            return False
        definition = self.steps[step]["definition"]
        done = all(self.is_done(edge) for edge in edges)
        match definition.rule:
            case TriggerRule.ALL_DONE | TriggerRule.ONE_DONE:
                return False
            case TriggerRule.ONE_SUCCESS | TriggerRule.ONE_FAILED:
                return done
            case TriggerRule.QUORUM_SUCCESS:
                successes = sum(self.is_success(edge) for edge in edges)
                running = sum(not self.is_done(edge) for edge in edges)
                return successes + running < (definition.quorum or 1)
            case _:
                return done

    def message_may_come(self, step: str) -> bool:
        """A path of agent edges leads from a parent's agent, through agents of no step, to it."""
        parents = [edge["from"] for edge in self.into(step) if edge["from"] in self.steps]
        reached = [agent for name in parents for agent in self.steps[name]["agents"]]
        seen: list[str] = []
        while reached:
            sender = reached.pop()
            if sender in seen:
                continue
            seen.append(sender)
            for edge in self.spec.edges:
                if edge.sender == sender:
                    if edge.target in self.steps[step]["agents"]:
                        return True
                    if self.claimed_by(edge.target) is None:
                        reached.append(edge.target)
        return False

    def follows_a_patch(self, step: str) -> bool:
        """A dynamic instance, or the target of a mutable or dynamic edge."""
        regions = self.flow.dynamic.regions if self.flow.dynamic else []
        mutable = [name for region in regions for name in region.mutable_edges]
        declared = [edge.target for edge in self.flow.edges if edge.edge_id in mutable]
        return (
            self.steps[step]["region"] is not None
            or step in declared
            or any(edge["dynamic"] for edge in self.into(step))
        )

    def needs_trigger(self, step: str) -> bool:
        """It is satisfied: must the ledger make the message itself?"""
        edges = self.into(step)
        if self.follows_a_patch(step):
            return True
        match self.steps[step]["definition"].rule:
            case TriggerRule.ONE_FAILED:
                return True
            case TriggerRule.ALL_DONE if any(self.is_failure(edge) for edge in edges):
                return True
            case TriggerRule.ONE_DONE if not any(
                self.is_done(edge) and self.is_success(edge) for edge in edges
            ):
                return True
        over = bool(edges) and all(self.is_done(edge) for edge in edges)
        return over and not self.message_may_come(step)

    # ---- what follows when a step has changed ----

    def consider(self, step: str) -> bool:
        """Look at one step that has not started; tell whether it is terminal now."""
        record = self.steps[step]
        if record["status"] not in UNSTARTED:
            return False
        if self.satisfied(step):
            if not record["waiting"] and self.needs_trigger(step):
                self.trigger(step)
            if record["waiting"]:
                self.enqueue(step)
            elif record["status"] == "pending":
                record["status"] = "ready"
            return False
        if record["status"] == "ready":
            record["status"] = "pending"  # the graph has changed
        if self.impossible(step):
            self.resolve(step, "skipped", "skipped")
            return True
        return False

    def reconsider(self, changed: list[str]) -> None:
        """Children in the order of the edges, breadth first; then every step, until all rests."""
        while True:
            while changed:
                source, *changed = changed
                for edge in list(self.edges):
                    if edge["from"] == source and self.consider(edge["to"]):
                        changed.append(edge["to"])
            changed = [step for step in self.order if self.consider(step)]
            if not changed:
                break
        self.serve_line()

    def trigger(self, step: str) -> None:
        self.say("workflow_step_triggered", step)
        agent = self.steps[step]["agent"]
        self.steps[step]["waiting"].append(
            {"label": "trigger", "to": agent, "step": step, "attempt": None}
        )

    def enqueue(self, step: str) -> None:
        """Its messages may be taken."""
        record = self.steps[step]
        if record["status"] != "queued":
            self.queued += 1
            record.update(status="queued", queued=self.queued)
        record["waiting"] = [*record["again"], *record["waiting"]]
        record["again"] = []
        for message in record["waiting"]:
            if step not in self.due[message["to"]]:
                self.due[message["to"]].append(step)
            self.ring(message["to"])

    def resolve(self, step: str, status: str, outcome: str) -> None:
        """The step is over. Only the launch that says so may run on; what waits is ignored."""
        record = self.steps[step]
        self.stop(step, self.speaker)
        self.close(step, status)
        record.update(status=status, outcome=outcome)
        record.update(deadline_at=None, heartbeat_deadline_at=None, retry_at=None)
        self.say(f"workflow_step_{status}", step)
        for _ in record["waiting"]:
            self.say("workflow_step_duplicate_message_ignored", step)
        record.update(waiting=[], again=[])

    def close(self, step: str, status: str) -> None:
        """The attempt under way, if any, has ended so."""
        record = self.steps[step]
        if record["attempt"] is not None:
            record["attempts"][-1] = (record["attempt"], status)
            record["attempt"] = None

    def is_complete(self) -> bool:
        return bool(self.steps) and all(
            record["status"] in SUCCESSFUL for record in self.steps.values()
        )

    # ---- places among the running steps ----

    def running(self) -> int:
        return sum(record["status"] == "running" for record in self.steps.values())

    def has_place(self) -> bool:
        most = self.flow.max_parallel_steps
        return most is None or self.running() < most

    def beginner(self, step: str) -> str | None:
        """The agent that could begin with the step now."""
        waiting = [message["to"] for message in self.steps[step]["waiting"]]
        free = [agent for agent in waiting if agent not in self.flights]
        return free[0] if free else None

    def line(self) -> list[str]:
        """Who may start, has a message and a free agent: first who has been queued longest."""
        found = [
            step
            for step, record in self.steps.items()
            if record["status"] == "queued" and self.beginner(step) is not None
        ]
        return sorted(found, key=lambda step: self.steps[step]["queued"])

    def serve_line(self) -> None:
        for step in self.line() if self.has_place() else []:
            self.ring(str(self.beginner(step)))

    def may_start(self, step: str) -> bool:
        """There is a place left after those of other agents who stand in line before it."""
        most = self.flow.max_parallel_steps
        if most is None:
            return True
        line = self.line()
        before = {self.beginner(name) for name in line[: line.index(step)]}
        before.discard(self.beginner(step))
        return self.running() + len(before) < most

    # ---- messages ----

    def is_gone(self, step: str | None) -> bool:
        """It has left the graph."""
        return step is not None and step not in self.steps

    def is_current(self, flight: Record) -> bool:
        """It is of the attempt that its step is in."""
        record = self.steps.get(flight["step"])
        return record is not None and record["attempt"] == flight["attempt"]

    def ring(self, agent: str) -> None:
        if agent not in self.bell:
            self.bell.append(agent)

    def deliver(self, message: Record) -> None:
        self.mail[message["to"]].append(message)
        self.ring(message["to"])

    def emit(self, sender: str, type_: str, label: str, flight: Record, to: str | None) -> None:
        """Send along every edge that fits, or straight to an agent."""
        fitting = [e for e in self.spec.edges if e.sender == sender]
        fitting = [e for e in fitting if e.message_type in (type_, "*")]
        for target in [edge.target for edge in fitting] if to is None else [to]:
            own = flight["step"]
            stays = own in self.steps and target in self.steps[own]["agents"]
            self.deliver(
                {
                    "label": label,
                    "to": target,
                    "step": own if stays else self.claimed_by(target),
                    "attempt": flight["attempt"] if stays else None,
                    "who": None if "/" in label else sender,
                }
            )

    def settle(self) -> None:
        """Let agents take what they may take, until nobody can."""
        if self.status not in OVER:
            self.retire()
        if self.deferred and self.is_complete() and self.status not in OVER:
            self.say("workflow_completion_resumed")
            self.complete_job(*self.deferred[-1])
        self.serve_line()
        while self.bell and self.status == "running":
            agent = self.bell.pop(0)
            if agent not in self.flights and self.take(agent):
                self.ring(agent)
        if self.status != "running" or not self.is_idle():
            self.silent_since = None
        elif self.silent_since is None:
            self.silent_since = self.now
            self.asked_silence = False

    def take(self, agent: str) -> bool:
        """Take one message, due ones first; tell whether there may be more."""
        for step in list(self.due[agent]):
            record = self.steps.get(step)
            waiting = record["waiting"] if record else []
            mine = [message for message in waiting if message["to"] == agent]
            if record is None or not mine or record["status"] not in ("queued", "running"):
                self.due[agent].remove(step)
                return True
            if record["status"] == "queued" and not self.may_start(step):
                continue
            record["waiting"] = [message for message in waiting if message is not mine[0]]
            if len(mine) == 1:
                self.due[agent].remove(step)
            self.run(step, mine[0])
            return True
        if self.mail[agent]:
            self.gate(agent, self.mail[agent].pop(0))
            return True
        return False

    def gate(self, agent: str, message: Record) -> None:
        """An agent would take this message of its mailbox: may it?"""
        step = message["step"]
        if step in self.retired:
            self.say("workflow_step_duplicate_message_ignored", step)
            return
        if step is None or step not in self.steps:
            self.handle_outside(agent, message)
            return
        record = self.steps[step]
        status = record["status"]
        if status in TERMINAL:
            self.say("workflow_step_duplicate_message_ignored", step)
        elif self.is_stale(record, message):
            self.say("workflow_step_stale_output_ignored", step)
        elif status == "running" and all(m["to"] != agent for m in record["waiting"]):
            self.run(step, message)
        elif status in ACTIVE:
            record["waiting"].append(message)
            if self.rests(step):
                self.wake(step)
            elif status in ("running", "queued") and step not in self.due[agent]:
                self.due[agent].append(step)
        elif not self.satisfied(step):
            record["waiting"].append(message)
            record["status"] = "blocked"
            self.say("workflow_step_blocked", step)
        else:
            record["waiting"].append(message)
            self.enqueue(step)

    def is_stale(self, record: Record, message: Record) -> bool:
        """It was sent inside an earlier attempt; an agent alone goes on with what it sent."""
        inside = message["attempt"] is not None
        return inside and len(record["agents"]) > 1 and message["attempt"] != record["attempt"]

    def run(self, step: str, message: Record) -> None:
        """Execute the message in the current attempt, or in a new one."""
        record = self.steps[step]
        if record["status"] != "running":
            record["count"] += 1
            record["attempt"] = f"{step}:attempt:{record['count']}"
            record["attempts"].append((record["attempt"], "running"))
            record["status"] = "running"
            record["retry_at"] = None
            record["taken"] = []
            self.set_deadlines(step)
            self.say("workflow_step_attempt_started", step)
        record["last"] = message
        if message["attempt"] is None:
            record["taken"].append(message)
        self.launch(message["to"], message, step, record["attempt"])
        for other in record["waiting"]:
            self.ring(other["to"])

    def launch(self, agent: str, message: Record, step: str | None, attempt: str | None) -> None:
        self.flights[agent] = {
            "agent": agent,
            "step": step,
            "attempt": attempt,
            "message": message,
            "launch": 1,
            "parked": False,
            "spent": False,
            "failed": False,
        }
        self.serve_line()

    def set_deadlines(self, step: str) -> None:
        record = self.steps[step]
        definition = record["definition"]
        timeout_s = definition.timeout_s
        record["deadline_at"] = None if timeout_s is None else self.now + timeout_s
        silent_s = self.beacon_timeout_s(definition)
        record["heartbeat_deadline_at"] = None if silent_s is None else self.now + silent_s

    def beacon_timeout_s(self, definition: Step) -> float | None:
        if definition.beacon_timeout_ms is not None:
            return definition.beacon_timeout_ms / 1000
        return definition.timeout_s

    def handle_outside(self, agent: str, message: Record) -> None:
        """An agent of no step handles a message; nobody asks the ledger."""
        if not self.is_sink(agent):
            self.launch(agent, message, None, None)
            return
        if message["who"] in self.gathered:
            return
        if message["who"] is not None:
            self.gathered.append(message["who"])
        self.complete_run(agent, {"out": message["label"]})

    # ---- the end of the run ----

    def complete_run(self, agent: str, output: Any) -> None:
        if self.is_complete():
            self.complete_job(agent, output)
        else:
            self.deferred.append((agent, output))
            self.say("workflow_completion_deferred")

    def complete_job(self, agent: str | None, output: Any) -> None:
        self.say("job_completed")
        self.result = (agent, output)
        self.finish("completed")

    def fail_job(self, step: str | None = None) -> None:
        self.say("job_failed", step)
        self.finish("failed")

    def finish(self, status: str) -> None:
        self.status = status
        self.flights = {}

    def is_idle(self) -> bool:
        """Nothing runs, and no timer will bring anything."""
        timed = any(
            record[key] is not None
            for record in self.steps.values()
            for key in ("deadline_at", "heartbeat_deadline_at", "retry_at")
        )
        return not self.flights and not timed and self.spec.job_type == "batch"

    # ---- facts ----

    def submitted(self, at: float) -> None:
        self.now = at
        self.status = "running"
        for step in self.order:
            if not self.into(step) and self.satisfied(step):
                self.steps[step]["status"] = "ready"
        for name in self.spec.entrypoints:
            for seed in self.spec.seeds[name]:
                step = self.claimed_by(name)
                label = seed["token"]
                self.deliver(
                    {"label": label, "to": name, "step": step, "attempt": None, "who": None}
                )
        self.settle()

    def sent(self, at: float, agent: str, label: str, step: str | None) -> None:
        """Somebody outside sent an agent a message; it may name the step that it is for."""
        self.now = at
        named = step in self.steps and agent in self.steps[str(step)]["agents"]
        self.deliver(
            {
                "label": label,
                "to": agent,
                "step": step if named else self.claimed_by(agent),
                "attempt": None,
                "who": None,
            }
        )
        self.settle()

    def ended(self, at: float, agent: str, outcome: Outcome, label: str) -> None:
        """The launch that an agent has out gave its answer."""
        self.now = at
        flight = self.flights.pop(agent)
        config = self.agents[agent].config
        self.ring(agent)
        fallback = config.get("failure_message_type")
        if outcome.status is OutcomeStatus.SUCCEEDED:
            self.succeeded(flight, outcome.structured or Structured(), config, label)
        elif self.is_gone(flight["step"]):
            pass
        elif outcome.status is OutcomeStatus.FAILED and fallback and not flight["spent"]:
            if config.get("workflow_complete_step", True):
                self.complete_by_itself(flight, label)
            self.emit(agent, fallback, label, flight, None)
        elif self.is_current(flight):
            self.fail(flight["step"], speaker=agent, own=flight)
        self.settle()

    def succeeded(self, flight: Record, said: Structured, config: Record, label: str) -> None:
        agent = flight["agent"]
        self.flights[agent] = flight  # while its events are heard it is still the speaker
        for event in said.events:
            self.hear(event, flight)
            if self.status in OVER:
                return
        spent = flight["spent"]
        explicit = bool(said.completions)
        for completion in said.completions:
            value = {"out": label} if completion.default else completion.value
            if flight["step"] is None:
                if completion.scope == "run":
                    self.say("workflow_completion_ignored")
                continue
            heard = self.complete(flight, value)
            last = flight["step"] == self.flow.sink or not self.has_sink()
            if completion.scope == "run" and heard and last and self.status not in OVER:
                self.complete_run(agent, value)
        if not explicit and config.get("workflow_complete_step", True):
            self.complete_by_itself(flight, label)
        self.flights.pop(agent, None)
        if self.status in OVER:
            return
        if not spent:
            type_ = config.get("output_message_type", "executor_result")
            if type_ is not None:
                self.emit(agent, type_, label, flight, None)
        for number, emission in enumerate(said.emissions):
            self.emit(agent, emission.type, f"{label}/{number}", flight, emission.to)

    def said(self, at: float, agent: str, event: NamedEvent) -> None:
        """The worker that an agent has out published an event; is it over if that failed it?"""
        self.now = at
        flight = self.flights[agent]
        self.hear(event, flight)
        if flight["failed"] and self.flights.get(agent) is flight:
            self.stopped.append(self.flights.pop(agent))
            self.ring(agent)
        self.settle()

    def answered_late(self, at: float, kind: str, key: tuple[str, str, str, int]) -> None:
        """A launch that is over answers, says or beats after all."""
        self.now = at
        for flight in self.stopped if kind == "late" else []:
            known = (flight["agent"], flight["attempt"], flight["message"]["label"])
            if known == key[:3]:
                if not self.is_gone(flight["step"]):
                    self.say("workflow_step_stale_output_ignored", flight["step"])
                self.stopped.remove(flight)
                break
        self.settle()

    def beacon(self, at: float, agent: str, timeout_ms: float | None) -> None:
        self.now = at
        flight = self.flights[agent]
        if self.is_current(flight):
            self.beat(flight["step"], timeout_ms)
        self.settle()

    def recovered(self, at: float) -> None:
        """Every launch is lost: the same attempts, started again, with all their time."""
        self.now = at
        for flight in self.flights.values():
            if not flight["parked"]:
                flight["launch"] += 1
                self.relaunch(flight)
        self.settle()

    def relaunch(self, flight: Record) -> None:
        if flight["step"] not in self.steps:
            flight["attempt"] = None
        elif self.is_current(flight):
            self.set_deadlines(flight["step"])

    def asked(self, at: float, verb: str, request_id: str) -> None:
        self.now = at
        if request_id in self.requests or self.status in OVER:
            return
        self.requests.append(request_id)
        if verb == "pause" and self.status == "running":
            self.pause()
        elif verb == "resume" and self.status == "paused":
            self.resume()
        elif verb == "cancel":
            self.say("job_cancelled")
            self.finish("cancelled")
        self.settle()

    def pause(self) -> None:
        self.say("job_pausing")
        for step in self.order:
            if self.steps[step]["status"] in ACTIVE:
                self.say("workflow_step_blocked", step)
        for flight in self.flights.values():
            if self.is_current(flight) and not self.finishes_when_paused(flight["agent"]):
                flight["parked"] = True
                flight["launch"] += 1
        self.status = "paused"
        self.paused_at = self.now
        self.say("job_paused")

    def finishes_when_paused(self, agent: str) -> bool:
        config = self.agents[agent].config
        return config.get("side_effect") == "write" and not config.get("idempotent")

    def resume(self) -> None:
        self.say("job_resumed")
        self.status = "running"
        for step in self.order:
            if self.steps[step]["status"] in ACTIVE:
                self.shift(self.steps[step], self.now - self.paused_at)
        for flight in self.flights.values():
            flight["parked"] = False
        for name in self.agents:
            self.ring(name)

    def shift(self, record: Record, by_s: float) -> None:
        for key in ("deadline_at", "heartbeat_deadline_at", "retry_at"):
            if record[key] is not None:
                record[key] += by_s

    # ---- time ----

    def timers(self) -> list[tuple[float, str, str]]:
        """Everything that will happen by itself: when, what, which step. Nothing while paused."""
        if self.status != "running":
            return []
        found = []
        for step in self.order:
            record = self.steps[step]
            if record["deadline_at"] is not None:
                found.append((record["deadline_at"], "deadline", step))
            if record["heartbeat_deadline_at"] is not None:
                found.append((record["heartbeat_deadline_at"], "heartbeat", step))
            if record["retry_at"] is not None:
                found.append((record["retry_at"], "retry", step))
        if self.silent_since is not None:
            if not self.asked_silence:
                found.append((self.silent_since + SILENT_S, "silent", ""))
            else:
                found.append((self.asked_at + STALLED_S - SILENT_S, "stalled", ""))
        return sorted(found, key=lambda one: (one[0], one[2]))

    def fired(self, at: float, kind: str, step: str) -> None:
        """One thing of `timers` is due."""
        self.now = at
        match kind:
            case "deadline" | "heartbeat":
                self.say("workflow_step_attempt_timed_out", step)
                self.fail(step, speaker=None)
            case "retry":
                self.steps[step]["retry_at"] = None
                self.enqueue(step)
            case "silent":
                self.broke_silence()
            case "stalled":
                self.fail_job()
        self.settle()

    def broke_silence(self) -> None:
        self.asked_silence = True
        self.asked_at = self.now
        if self.is_complete():
            self.say("workflow_completion_inferred")
            self.complete_job(*self.inferred())
            return
        woken = False
        for step in self.order:
            record = self.steps[step]
            silent = record["status"] in ("ready", "pending") and not record["waiting"]
            if self.rests(step) and record["count"] > record["nudged"]:
                record["nudged"] = record["count"] + 1
                woken = True
                self.wake(step)
            elif silent and self.satisfied(step):
                woken = True
                self.trigger(step)
                self.enqueue(step)
        if woken:
            self.silent_since = None

    def inferred(self) -> tuple[str | None, Any]:
        """What the sink's step put out, or the step that completed last."""
        done = [step for step in self.completed_in_order if step in self.steps]
        last = self.flow.sink if self.flow.sink in done else done[-1] if done else None
        if last is None:
            return None, None
        return self.steps[last]["agent"], self.steps[last]["output"]

    # ---- what workers report ----

    def counts(self, step: str, attempt: str | None, *, beside: bool = False) -> bool:
        """Tell whether a report for a step is heard; if not, say so."""
        record = self.steps.get(step)
        if record is None:
            return False
        if record["status"] in TERMINAL:
            self.say("workflow_step_stale_event_ignored", step)
            return False
        if attempt is not None and attempt != record["attempt"]:
            self.say("workflow_step_stale_output_ignored", step)
            return False
        return True

    def meant(self, payload: Record, flight: Record) -> str | None:
        """Which step an event is about: the first member that names one, else the flight's."""
        for key in ("step", "step_id", "workflow_step_id", "phase", "phase_id"):
            if payload.get(key) in self.steps:
                return str(payload[key])
        step: str | None = flight["step"]
        return step

    def hear(self, event: NamedEvent, flight: Record) -> None:
        kind, payload = event.type, event.payload
        if kind not in REPORTS:
            return
        self.speaker = flight["agent"]
        self.report(kind, payload, flight)
        self.speaker = None

    def report(self, kind: str, payload: Record, flight: Record) -> None:
        own = flight["step"]
        step = own if kind in FLIGHT_ONLY else self.meant(payload, flight)
        if step is None:
            return
        attempt = flight["attempt"] if step == own else None
        attempt = payload.get("attempt_id", attempt)
        if not self.counts(step, attempt):
            return
        if kind in COMPLETED_BY:
            self.completed(step, payload)
        elif kind == "workflow_step_partial":
            self.resolve(step, "partial", "partial")
            self.reconsider([step])
        elif kind == "workflow_step_skipped":
            self.skip(step, downstream=payload.get("skip_downstream") is True)
        elif kind == "workflow_step_failed":
            if self.steps[step]["attempt"] is not None:
                self.failed_by_event(step, flight)
        elif kind == "workflow_step_branch":
            self.branch(step, payload)
        elif kind == "workflow_step_scatter":
            self.scatter(step, payload)
        elif kind == "workflow_graph_patch":
            self.patch(step, payload, flight)
        elif kind == "workflow_controller_checkpoint":
            self.checkpoint(step)

    def beat(self, step: str, timeout_ms: float | None) -> None:
        record = self.steps[step]
        silent_s = self.beacon_timeout_s(record["definition"])
        if timeout_ms is not None:
            silent_s = timeout_ms / 1000
        if record["status"] == "running" and self.status == "running":
            record["heartbeat_deadline_at"] = None if silent_s is None else self.now + silent_s
            self.say("workflow_step_beacon", step)

    def failed_by_event(self, step: str, flight: Record) -> None:
        if step == flight["step"]:
            flight.update(spent=True, failed=True)
        self.fail(step, speaker=flight["agent"])

    def complete(self, flight: Record, output: Any) -> bool:
        """The completion of a flight's step, bound to the flight's attempt; was it heard?"""
        heard = self.counts(flight["step"], flight["attempt"])
        if heard:
            self.speaker = flight["agent"]
            self.completed(flight["step"], output)
            self.speaker = None
        return heard

    def completed(self, step: str, output: Any) -> None:
        self.steps[step]["output"] = output
        self.completed_in_order.append(step)
        self.resolve(step, "completed", "success")
        self.weigh(step, output)
        self.reconsider([step, *self.after_scatter(step)])

    def complete_by_itself(self, flight: Record, label: str) -> None:
        """An exit without fault completes the step, if its attempt is still under way."""
        if self.is_current(flight):
            self.speaker = flight["agent"]
            self.completed(flight["step"], {"out": label})
            self.speaker = None

    def weigh(self, step: str, output: Any) -> None:
        """A worker may say how sure it is; being unsure changes nothing."""
        least = self.steps[step]["definition"].min_confidence
        found = output.get("confidence") if isinstance(output, dict) else None
        if found is None and isinstance(output, dict) and isinstance(output.get("outputs"), dict):
            found = output["outputs"].get("confidence")
        if least is not None and isinstance(found, int | float) and found < least:
            self.say("workflow_step_low_confidence", step)

    def stop(self, step: str, speaker: str | None = None) -> None:
        """Stop whatever runs for a step, but not the one who speaks."""
        for name, flight in list(self.flights.items()):
            if flight["step"] == step and name != speaker:
                del self.flights[name]
                self.ring(name)
                if not flight["parked"]:
                    self.stopped.append(flight)

    # ---- failure ----

    def fail(self, step: str, *, speaker: str | None, own: Record | None = None) -> None:
        """The current attempt has failed: again, or what the policy says."""
        record = self.steps[step]
        definition = record["definition"]
        messages = self.again(step, own)
        self.stop(step, speaker)
        self.close(step, "failed")
        record.update(deadline_at=None, heartbeat_deadline_at=None)
        if self.spent_attempts(record) < definition.max_attempts:
            self.retry(step, messages)
            self.serve_line()
            return
        self.say("workflow_step_failed", step)
        if not definition.optional:
            record.update(status="failed", outcome="failed")
            self.fail_job(step)
            return
        skips = definition.failure_policy is FailurePolicy.SKIP
        self.resolve(step, "skipped" if skips else "partial", "failed")
        self.reconsider([step])

    def again(self, step: str, own: Record | None) -> list[Record]:
        """One agent: the message it works on; several: all that the attempt took from outside."""
        record = self.steps[step]
        if len(record["agents"]) > 1:
            return list(record["taken"])
        flights = [own] if own is not None else list(self.flights.values())
        under_way = [f["message"] for f in flights if f["step"] == step and self.is_current(f)]
        return [*under_way, record["last"]][:1]

    def retry(self, step: str, messages: list[Record]) -> None:
        record = self.steps[step]
        delay_ms = self.delay_ms(record)
        self.say("workflow_step_attempt_retry_scheduled", step)
        record["again"] = [{**message, "step": step, "attempt": None} for message in messages]
        record["status"] = "retry_wait"
        if delay_ms == 0 and self.status == "running":
            self.enqueue(step)
        else:
            record["retry_at"] = self.now + delay_ms / 1000

    def spent_attempts(self, record: Record) -> int:
        """Attempts that count: a checkpoint is a fresh start."""
        since = 0
        for _, status in record["attempts"]:
            since = since + 1 if status == "failed" else 0
        return since

    def delay_ms(self, record: Record) -> int:
        definition = record["definition"]
        finished = self.spent_attempts(record)
        factor = definition.retry_backoff_multiplier ** (finished - 1)
        return int(definition.retry_backoff_ms * factor)

    # ---- branch, skip, scatter ----

    def skip(self, step: str, *, downstream: bool) -> None:
        self.resolve(step, "skipped", "skipped")
        changed = [step]
        if downstream:
            for name in self.descendants(step):
                if self.steps[name]["status"] not in TERMINAL:
                    self.stop(name)
                    self.resolve(name, "skipped", "skipped")
                    changed.append(name)
        self.reconsider(changed)

    def descendants(self, step: str) -> list[str]:
        found: list[str] = []
        for name in [step, *found]:
            found += [e["to"] for e in self.out_of(name) if e["to"] not in found]
        while True:
            more = [
                edge["to"]
                for edge in self.edges
                if edge["from"] in found and edge["to"] not in found
            ]
            if not more:
                return found
            found.append(more[0])

    def branch(self, step: str, payload: Record) -> None:
        branches = payload.get("branches", payload.get("branch"))
        chosen = branches if isinstance(branches, list) else [branches]
        skipped: list[str] = []
        for edge in self.out_of(step):
            child = edge["to"]
            if child not in chosen and self.steps[child]["status"] not in TERMINAL:
                self.stop(child)
                self.resolve(child, "skipped", "skipped")
                skipped.append(child)
        self.say("workflow_branch_selected", step)
        for name in skipped:
            for edge in self.out_of(name):
                child = edge["to"]
                if self.steps[child]["status"] in TERMINAL:
                    continue
                if self.cascades_to(child):
                    self.stop(child)
                    self.resolve(child, "skipped", "skipped")
                    skipped.append(child)
        self.reconsider(skipped)

    def cascades_to(self, child: str) -> bool:
        """All parents are skipped."""
        return all(
            edge["from"] in self.steps and self.steps[edge["from"]]["status"] == "skipped"
            for edge in self.into(child)
        )

    def scatter(self, step: str, payload: Record) -> None:
        targets = payload.get("targets", [payload["target"]] if "target" in payload else [])
        items = payload.get("items")
        if self.scatter_refused(targets, items, payload.get("max_items", MAX_ITEMS)):
            self.say("workflow_step_scatter_rejected", step)
            return
        self.say("workflow_step_scattered", step)
        if not items:
            self.emptied += [(step, target) for target in targets]
            return
        made: dict[str, list[str]] = {target: [] for target in targets}
        for index in range(len(items)):
            target = targets[index % len(targets)]
            name = f"{target}[{index}]"
            record = record_of(self.steps[target]["definition"])
            record["waiting"] = [
                {"label": f"item:{index}", "to": record["agent"], "step": name, "attempt": None}
            ]
            self.steps[name] = record
            self.order.append(name)
            made[target].append(name)
        for target in targets:
            self.resolve(target, "skipped", "mapped")
        self.unfold(made)
        self.reconsider([])
        fresh = [name for target in targets for name in made[target]]
        self.reconsider([name for name in fresh if self.consider(name)])

    def unfold(self, made: dict[str, list[str]]) -> None:
        """Edges that touch a target are replaced by one for each instance, behind all others."""
        kept, replaced = [], []
        for edge in self.edges:
            if edge["from"] in made or edge["to"] in made:
                replaced += [
                    {**edge, "from": source, "to": target}
                    for source in made.get(edge["from"], [edge["from"]])
                    for target in made.get(edge["to"], [edge["to"]])
                ]
            else:
                kept.append(edge)
        self.edges = kept + replaced

    def scatter_refused(self, targets: Any, items: Any, most: int) -> bool:
        return (
            not isinstance(targets, list)
            or not targets
            or not isinstance(items, list)
            or len(items) > most
            or any(target not in self.steps for target in targets)
            or any(self.steps[target]["status"] in TERMINAL for target in targets)
        )

    def after_scatter(self, step: str) -> list[str]:
        """The scatterer has completed: targets that got nothing will get nothing."""
        mapped: list[str] = []
        for scatterer, target in self.emptied:
            record = self.steps[target]
            if scatterer == step and record["status"] in UNSTARTED and not record["waiting"]:
                self.resolve(target, "skipped", "mapped")
                mapped.append(target)
        return mapped

    # ---- dynamic patches ----

    def checkpoint(self, step: str) -> None:
        regions = self.flow.dynamic.regions if self.flow.dynamic else []
        mine = [r for r in regions if r.controller == step and r.strategy == "checkpoint_fanout"]
        if not mine:
            self.say("workflow_controller_checkpoint_rejected", step)
            return
        self.say("workflow_controller_checkpointed", step)
        self.wait(step)
        self.reconsider([])
        if self.rests(step) and self.steps[step]["waiting"]:
            self.wake(step)

    def wait(self, step: str) -> None:
        """The controller has done its part; its attempt ends as checkpointed."""
        for flight in self.flights.values():
            flight["spent"] = flight["spent"] or flight["step"] == step
        self.stop(step, self.speaker)
        self.close(step, "checkpointed")
        self.steps[step].update(status="waiting", deadline_at=None, heartbeat_deadline_at=None)

    def patch(self, step: str, payload: Record, flight: Record) -> None:
        known = self.patches.get(str(payload.get("patch_id")))
        if known is not None and known["content"] == content_of(payload):
            self.say("workflow_graph_patch_replayed", step)
            return
        before = (dict(self.steps), list(self.order), list(self.edges))
        try:
            if known is not None:
                raise Rejected("another patch has this id")
            region = self.apply_patch(step, payload)
        except Rejected:
            self.steps, self.order, self.edges = before
            self.say("workflow_graph_patch_rejected", step)
            self.failed_by_event(step, flight)
            return
        self.revision += 1
        self.patches[payload["patch_id"]] = {
            "payload": payload,
            "content": content_of(payload),
            "region": region.region_id,
            "fanout": region.strategy == "checkpoint_fanout",
            "controller": step,
        }
        self.say("workflow_graph_patch_applied", step)
        if region.strategy == "checkpoint_fanout":
            self.wait(step)
        self.reconsider([])
        changed = [name for name in self.order if self.consider(name)]
        self.reconsider(changed)

    def apply_patch(self, step: str, payload: Record) -> Any:
        if self.flow.mode != "dynamic_dag" or self.flow.dynamic is None:
            raise Rejected("the graph cannot change")
        dynamic = self.flow.dynamic
        regions = [r for r in dynamic.regions if r.region_id == payload["region_id"]]
        if not regions:
            raise Rejected("no such region")
        region = regions[0]
        if region.controller != step:
            raise Rejected("only its controller may change a region")
        if payload["base_revision"] != self.revision:
            raise Rejected("the graph has changed since")
        if len(self.patches) + 1 > dynamic.limits.max_patches:
            raise Rejected("too many patches")
        if len(payload["operations"]) > dynamic.limits.max_operations_per_patch:
            raise Rejected("too many operations")
        for operation in payload["operations"]:
            self.operate(operation, region, payload["patch_id"])
        active = [
            name
            for name, record in self.steps.items()
            if record["region"] is not None and record["status"] not in TERMINAL
        ]
        if len(active) > dynamic.limits.max_active_steps:
            raise Rejected("too many steps")
        self.check_graph(region)
        return region

    def operate(self, operation: Record, region: Any, patch_id: str) -> None:
        name = operation.get("id")
        match operation["op"]:
            case "add_step":
                if name in self.steps:
                    raise Rejected("the id is taken")
                if operation["template"] not in region.templates:
                    raise Rejected("the template is not allowed here")
                templates = self.flow.dynamic.templates if self.flow.dynamic else []
                template = next(t for t in templates if t.step_id == operation["template"])
                record = record_of(template)
                record.update(region=region.region_id, patch=patch_id)
                self.steps[name] = record
                self.order.append(name)
            case "remove_step":
                record = self.steps.get(name) or {"region": None}
                if record["region"] != region.region_id:
                    raise Rejected("not a step of this region")
                if record["status"] not in UNSTARTED or record["count"] > 0:
                    raise Rejected("it has started")
                if self.into(name) or self.out_of(name):
                    raise Rejected("it has edges")
                self.steps = {key: one for key, one in self.steps.items() if key != name}
                self.order = [one for one in self.order if one != name]
            case "add_edge":
                self.add_edge(operation, region, patch_id)
            case "remove_edge":
                edge = next((e for e in self.edges if e["id"] == name), None)
                if edge is None:
                    raise Rejected("no such edge")
                mutable = name in region.mutable_edges
                if not mutable and edge["region"] != region.region_id:
                    raise Rejected("the edge may not change")
                self.check_ends(edge["from"], edge["to"], region)
                self.edges = [e for e in self.edges if e is not edge]
            case _:
                raise Rejected("no such operation")

    def add_edge(self, operation: Record, region: Any, patch_id: str) -> None:
        source, target = operation["from"], operation["to"]
        if any(edge["id"] == operation["id"] for edge in self.edges):
            raise Rejected("the id is taken")
        if source == target or source not in self.steps or target not in self.steps:
            raise Rejected("an edge joins two steps")
        self.check_ends(source, target, region)
        fanout = region.strategy == "checkpoint_fanout" and source == region.controller
        self.edges.append(
            {
                "id": operation["id"],
                "from": source,
                "to": target,
                "accepts": list(operation.get("accepts", ["done"])),
                "dynamic": True,
                "region": region.region_id,
                "patch": patch_id,
                "checkpoint_revision": self.revision + 1 if fanout else None,
            }
        )

    def check_ends(self, source: str, target: str, region: Any) -> None:
        for name in (source, target):
            mine = self.steps[name]["region"] == region.region_id
            if name not in (region.controller, region.exit) and not mine:
                raise Rejected("an end lies outside the region")
        if not self.is_fresh(target):
            raise Rejected("the target has started")
        if source != region.controller and not self.is_fresh(source):
            raise Rejected("the source has started")

    def is_fresh(self, name: str) -> bool:
        record = self.steps[name]
        return record["status"] in UNSTARTED and record["count"] == 0

    def check_graph(self, region: Any) -> None:
        below = {name: self.descendants(name) for name in self.steps}
        if any(name in below[name] for name in self.steps):
            raise Rejected("the graph has a circle")
        own = [n for n, record in self.steps.items() if record["region"] == region.region_id]
        reachable = below[region.controller]
        if region.strategy == "replace_path":
            if region.exit not in reachable:
                raise Rejected("the exit cannot be reached")
            on_path = all(n in reachable and region.exit in below[n] for n in own)
            if not on_path:
                raise Rejected("a step lies on no path to the exit")
        elif not all(name in reachable for name in own):
            raise Rejected("a step cannot be reached")

    def retire(self) -> None:
        """Fan-outs whose instances are all over leave the graph."""
        for patch_id, patch in list(self.patches.items()):
            mine = [n for n in self.order if self.steps[n]["patch"] == patch_id]
            over = all(self.steps[name]["status"] in TERMINAL for name in mine)
            if not patch["fanout"] or not mine or not over:
                continue
            self.edges = [e for e in self.edges if e["from"] not in mine and e["to"] not in mine]
            self.order = [name for name in self.order if name not in mine]
            self.steps = {name: one for name, one in self.steps.items() if name not in mine}
            self.retired += mine
            self.say("workflow_dynamic_steps_retired", patch["controller"])
            self.reconsider([])
            controller = patch["controller"]
            waiting = self.rests(controller) and self.steps[controller]["waiting"]
            if waiting or (self.rests(controller) and self.spec.job_type == "batch"):
                self.wake(controller)  # in a service it waits for the next message

    def rests(self, step: str) -> bool:
        """A controller that waits, and nothing of its fan-outs is left to wait for."""
        fanouts = [
            patch_id
            for patch_id, patch in self.patches.items()
            if patch["fanout"] and patch["controller"] == step
        ]
        living = [name for name in self.order if self.steps[name]["patch"] in fanouts]
        return self.steps[step]["status"] == "waiting" and not living

    def wake(self, step: str) -> None:
        """A controller that rests goes on, with what waits for it or with a message of ours."""
        if not self.steps[step]["waiting"]:
            self.trigger(step)
        self.enqueue(step)
