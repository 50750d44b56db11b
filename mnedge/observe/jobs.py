"""What committed events say of jobs: figures, and the spans of jobs and their steps."""

from collections.abc import Iterator
from typing import Any

import trio
from msgspec import Struct, field

from mnedge.bus import Bus, Published
from mnedge.errors import CorruptError, NotFoundError, UnavailableError
from mnedge.model import tracing
from mnedge.model.events import Event
from mnedge.model.message import Message
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL
from mnedge.observe.metrics import Registry
from mnedge.observe.traces import Span, Spans
from mnedge.part import Part
from mnedge.runtime import jobs

FAMILIES = ("job", "workflow", "agent", "executor", "aggregator", "human", "dead_letter", "module")
"""How the engine's own events begin; whatever else there is, workers named."""
NOT_OURS = frozenset({"validation", "cancelled"})
"""Categories of failure that say nothing about this node."""
STATUS_OF = {
    "job_pending": "pending",
    "job_running": "running",
    "job_resumed": "running",
    "job_recovered": "running",
    "job_paused": "paused",
    "job_completed": "completed",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
}
STEP_ENDS = {
    "workflow_step_completed": "ok",
    "workflow_step_partial": "ok",
    "workflow_step_skipped": "ok",
    "workflow_step_failed": "error",
}
STEP_BEGINS = "workflow_step_attempt_started"
BATCHES = 10_000


class _Open(Struct):
    """A job that is not over, as far as it was seen here."""

    trace_parent: str = ""
    started_at: float | None = None
    status: str = "pending"
    steps: dict[str, float] = field(default_factory=dict)


class JobWatch(Part):
    """Reads the bus; what it cannot follow is counted as lost, and nobody waits for it."""

    def __init__(self, stores: jobs.Stores, bus: Bus, registry: Registry, spans: Spans) -> None:
        self._stores = stores
        self._bus = bus
        self._spans = spans
        self._open: dict[str, _Open] = {}
        self._lost = 0
        self._events = registry.counter(
            "mnedge_events_total", "Committed events, by what they are about.", ["family"]
        )
        self._submitted = registry.counter("mnedge_submissions_total", "Jobs that were opened.")
        self._finished = registry.counter(
            "mnedge_jobs_finished_total", "Jobs that are over, by how.", ["status"]
        )
        self._judged = registry.counter(
            "mnedge_job_results_total",
            "Finished jobs that say something about this node: `failed` leaves out those that "
            "failed by their input or were cancelled.",
            ["result"],
        )
        self._seconds = registry.histogram(
            "mnedge_job_duration_seconds", "From a job's beginning to its end.", labels=["status"]
        )
        self._recovered = registry.counter(
            "mnedge_jobs_recovered_total", "Jobs taken up again after their owner died."
        )
        registry.gauge("mnedge_jobs", "Jobs that are not over, by status.", ["status"]).asked(
            self._by_status
        )
        registry.gauge(
            "mnedge_bus_batches_lost", "Batches of events that these figures did not see."
        ).asked(lambda: {(): self._lost})
        for result in ("completed", "failed"):
            self._judged.add(0, result)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the bus until cancelled; without events it sleeps."""
        with self._bus.subscribe(BATCHES) as subscription:
            task_status.started()
            await self._learn()
            async for batch in subscription:
                if subscription.lost != self._lost:
                    self._lost = subscription.lost
                    self._open.clear()  # an end may be among what was lost
                    await self._learn()
                if batch.job_id not in self._open:
                    self._open[batch.job_id] = await self._met(batch.job_id, batch.events[0])
                self.saw(batch)

    def saw(self, batch: Published) -> None:
        """Count the events of one batch."""
        job = self._open.setdefault(batch.job_id, _Open())
        families: dict[str, int] = {}
        for event in batch.events:
            family = _family(event.type)
            families[family] = families.get(family, 0) + 1
            status = STATUS_OF.get(event.type)
            if status is not None:
                self._turned(batch.job_id, job, event, status)
            elif event.type == STEP_BEGINS:
                step_id = _step_of(event)
                if step_id is not None:
                    job.steps.setdefault(step_id, event.at)
            elif event.type in STEP_ENDS:
                self._step_ended(batch.job_id, job, event)
        for family, count in families.items():
            self._events.add(count, family)

    def open_spans(self, trace_id: str) -> Iterator[dict[str, Any]]:
        """Yield what is under way in a trace: jobs and steps without an end yet."""
        for job_id, job in self._open.items():
            context = tracing.job_context(job_id, job.trace_parent)
            if context.trace_id == trace_id:
                yield {"name": f"job {job_id}", "span_id": context.span_id, "job_id": job_id,
                       "started_at": job.started_at}  # fmt: skip
                for step_id, started_at in job.steps.items():
                    span_id = tracing.step_span_id(job_id, step_id)
                    yield {"name": f"step {step_id}", "span_id": span_id, "job_id": job_id,
                           "started_at": started_at}  # fmt: skip

    async def _learn(self) -> None:
        """Know the jobs that were open before this node came up."""
        try:
            for job_id in await jobs.open_jobs(self._stores):
                record = await jobs.read_job(self._stores, job_id)
                if record.status not in TERMINAL:
                    self._open.setdefault(job_id, _opened(record))
        except (UnavailableError, NotFoundError, CorruptError):
            return  # they are met when they say something

    async def _met(self, job_id: str, first: Event) -> _Open:
        try:
            job = _opened(await jobs.read_job(self._stores, job_id))
        except (UnavailableError, NotFoundError, CorruptError):
            job = _Open(started_at=first.at)
        return job

    def _by_status(self) -> dict[tuple[str, ...], float]:
        counts: dict[tuple[str, ...], float] = {
            (status,): 0.0 for status in ("pending", "running", "paused")
        }
        for job in self._open.values():
            counts[(job.status,)] = counts.get((job.status,), 0) + 1
        return counts

    def _turned(self, job_id: str, job: _Open, event: Event, status: str) -> None:
        job.status = status
        if job.started_at is None:
            job.started_at = event.at
        if event.type == "job_pending":
            self._submitted.add()
        elif event.type == "job_recovered":
            self._recovered.add()
        if status not in TERMINAL:
            return
        self._open.pop(job_id, None)
        self._finished.add(1, status)
        self._seconds.observe(max(event.at - job.started_at, 0.0), status)
        if status == "completed" or (status == "failed" and _category(event) not in NOT_OURS):
            self._judged.add(1, status)
        context = tracing.job_context(job_id, job.trace_parent)
        parent = tracing.parsed(job.trace_parent)
        for step_id, started_at in job.steps.items():
            self._add_step(job_id, job, step_id, started_at, event.at, "error")
        self._spans.add(
            Span(
                trace_id=context.trace_id,
                span_id=context.span_id,
                parent_id="" if parent is None else parent.span_id,
                name="job",
                kind="consumer",
                started_at=job.started_at,
                ended_at=event.at,
                status="ok" if status == "completed" else "error",
                sampled=bool(context.flags),
                attributes={"mnedge.job_id": job_id, "mnedge.status": status},
            )
        )

    def _step_ended(self, job_id: str, job: _Open, event: Event) -> None:
        step_id = _step_of(event)
        if step_id is not None:
            started_at = job.steps.pop(step_id, event.at)
            self._add_step(job_id, job, step_id, started_at, event.at, STEP_ENDS[event.type])

    def _add_step(
        self,
        job_id: str,
        job: _Open,
        step_id: str,
        started_at: float,
        ended_at: float,
        status: str,
    ) -> None:
        context = tracing.job_context(job_id, job.trace_parent)
        self._spans.add(
            Span(
                trace_id=context.trace_id,
                span_id=tracing.step_span_id(job_id, step_id),
                parent_id=context.span_id,
                name=f"step {step_id}",
                started_at=started_at,
                ended_at=max(ended_at, started_at),
                status=status,
                sampled=bool(context.flags),
                attributes={"mnedge.job_id": job_id, "mnedge.step_id": step_id},
            )
        )


def _opened(record: JobRecord) -> _Open:
    return _Open(
        trace_parent=record.trace_parent,
        started_at=record.submitted_at,
        status=str(record.status),
    )


def _family(type_: str) -> str:
    for family in FAMILIES:
        if type_.startswith(family):
            return family
    return "worker"


def _payload(event: Event) -> dict[str, Any]:
    return {} if isinstance(event.payload, Message) else event.payload


def _step_of(event: Event) -> str | None:
    found = event.step_id or _payload(event).get("step_id")
    return found if isinstance(found, str) and found else None


def _category(event: Event) -> object:
    error = _payload(event).get("error")
    return error.get("category") if isinstance(error, dict) else None
