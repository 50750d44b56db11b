"""One run of `apply`: the job, its state, and what the run brings forth."""

from typing import Any

from mnedge.engine.compile import CompiledAgent, CompiledJob
from mnedge.engine.ledger.definition import NO_STEP, CompiledLedger, CompiledStep
from mnedge.engine.ledger.state import LedgerState, StepState
from mnedge.engine.state import RUNNING, AgentState, JobState, Timer
from mnedge.model.commands import AnyCommand, ClearTimer, SetTimer
from mnedge.model.events import Event
from mnedge.model.message import Message
from mnedge.model.states import JOB_MOVES, AgentKind, JobStatus


class Turn:
    """Collects the commands and events of one fact."""

    __slots__ = (
        "at", "commands", "ended", "events", "first", "hops", "job", "lost", "state", "step",
        "touched",
    )  # fmt: skip

    def __init__(self, job: CompiledJob, state: JobState) -> None:
        self.job = job
        self.state = state
        self.at = state.at
        self.commands: list[AnyCommand] = []
        self.events: list[Event] = []
        self.first = state.event_seq + 1
        self.hops = 0
        """Messages taken so far in this run."""
        self.step = NO_STEP
        """The step whose message or answer is being acted on."""
        self.touched: dict[int, None] = {}
        """Steps whose parents changed, and that were not reconsidered since."""
        self.lost: list[tuple[Message, str]] = []
        """Dead letters, and why, whose steps do not know of it yet."""
        self.ended: dict[int, None] = {}
        """Steps that became terminal or began to wait, and that were not followed up since."""

    @property
    def next_seq(self) -> int:
        """The number of the event that is told next."""
        return self.first + len(self.events)

    def tell(
        self,
        name: str,
        agent_id: str | None = None,
        payload: dict[str, Any] | Message | None = None,
        *,
        step_id: str | None = None,
    ) -> None:
        """Add an event."""
        event = Event(
            self.next_seq, self.at, name, agent_id, {} if payload is None else payload, step_id
        )
        self.events.append(event)

    def agent(self, index: int) -> tuple[CompiledAgent, AgentState]:
        """Return an agent's two halves: what never changes, and what does."""
        return self.job.agents[index], self.state.agents[index]

    def agent_at_work(self, work_id: str, launch: int, kind: AgentKind) -> int | None:
        """Return the agent whose current launch this is, if it is of that kind and not over.

        `work_id` is `<agent>:<message id>`; both may hold colons.
        """
        position = work_id.find(":")
        while position >= 0:
            index = self.job.index_of.get(work_id[:position])
            if index is not None and self.job.agents[index].kind is kind:
                flight = self.state.agents[index].flight
                if (
                    flight is not None
                    and flight.work_id == work_id
                    and flight.launch == launch
                    and flight.phase == RUNNING
                ):
                    return index
            position = work_id.find(":", position + 1)
        return None

    def move(self, status: JobStatus) -> None:
        """Change the job's status.

        Raises: ValueError if the table has no such move: a mistake in the engine.
        """
        if status not in JOB_MOVES[self.state.status]:
            raise ValueError(f"a job that is {self.state.status} cannot become {status}")
        self.state.status = status

    @property
    def ledger(self) -> LedgerState:
        """The ledger's state, of a job that has one."""
        ledger = self.state.ledger
        if ledger is None:
            raise ValueError("the job has no ledger")
        return ledger

    @property
    def compiled_ledger(self) -> CompiledLedger:
        """What of the ledger never changes, of a job that has one."""
        ledger = self.job.ledger
        if ledger is None:
            raise ValueError("the job has no ledger")
        return ledger

    def definition(self, step: StepState) -> CompiledStep:
        """Return what the step is made from."""
        return self.compiled_ledger.definitions[step.definition]

    def touch(self, step: int) -> None:
        """Have the step reconsidered."""
        self.touched[step] = None

    @property
    def running(self) -> bool:
        """Tell whether messages are taken."""
        return self.state.status is JobStatus.RUNNING

    def set_timer(self, timer_id: str, timer: Timer) -> None:
        """Have the timer fire; setting one again moves it."""
        self.clear_timer(timer_id, tell=False)
        self.state.timers[timer_id] = timer
        if timer.message is not None:
            self.state.kept_bytes += timer.message.weight_bytes
        self.commands.append(SetTimer(timer_id=timer_id, due_at=timer.due_at))

    def clear_timer(self, timer_id: str, *, tell: bool = True) -> Timer | None:
        """Forget the timer and return it; `tell` False: it has fired, so there is none to stop."""
        timer = self.state.timers.pop(timer_id, None)
        if timer is None:
            return None
        if timer.message is not None:
            self.state.kept_bytes -= timer.message.weight_bytes
        if tell:
            self.commands.append(ClearTimer(timer_id=timer_id))
        return timer
