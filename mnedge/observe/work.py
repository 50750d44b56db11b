"""Physical work under watch: a span and a figure for each launch, whatever carries it.

Stands between the host and the executor; what goes through is not changed.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import trio

from mnedge.execution.modules import ModuleAnswer
from mnedge.execution.order import AttemptOrder, JobContext
from mnedge.execution.telling import TellNote
from mnedge.model import tracing
from mnedge.model.commands import CallModule
from mnedge.model.facts import Outcome
from mnedge.model.states import OutcomeStatus
from mnedge.observe.metrics import Registry
from mnedge.observe.traces import Span, Spans
from mnedge.ports import Clock
from mnedge.runtime.workplace import Modules, Work


class WatchedWork:
    """Does the work of `work`, and tells of it."""

    def __init__(self, work: Work, registry: Registry, spans: Spans, *, now: Clock) -> None:
        self._work = work
        self._spans = spans
        self._now = now
        self._count = registry.counter(
            "mnedge_attempts_total",
            "Launches of attempts and calls of module agents, by how they ended.",
            ["kind", "outcome"],
        )
        self._seconds = registry.histogram(
            "mnedge_attempt_duration_seconds",
            "How long launches took, waiting for a lease included.",
            labels=["kind"],
        )

    async def run(self, order: AttemptOrder, note: TellNote) -> Outcome:
        """Carry one launch of an attempt to its outcome."""
        command = order.command
        step_id = command.workflow.get("step_id")
        with self._watched(
            order.job, "attempt", command.attempt_id, command.launch, command.agent_id, step_id
        ) as ending:
            outcome = await self._work.run(order, note)
            ending.append(str(outcome.status))
        return outcome

    @asynccontextmanager
    async def _modules(self, job: JobContext) -> AsyncIterator[Modules]:
        async with self._work.module_workers(job) as modules:
            yield _WatchedModules(self, modules, job)

    def module_workers(self, job: JobContext) -> AbstractAsyncContextManager[Modules]:
        """Have the workers of a job's module agents while the block is open."""
        return self._modules(job)

    async def sweep(self, job_id: str) -> int:
        """Kill what an earlier owner of the job left running here."""
        return await self._work.sweep(job_id)

    async def close(self, job_id: str) -> None:
        """Remove what a finished job left in the work folder."""
        await self._work.close(job_id)

    async def call(
        self, modules: Modules, job: JobContext, command: CallModule, note: TellNote
    ) -> ModuleAnswer:
        """Let a module agent's worker handle one message, under watch."""
        with self._watched(
            job, "call", command.call_id, command.launch, command.agent_id, None
        ) as ending:
            answer = await modules.call(command, note)
            failed = answer.error is not None or answer.crash is not None
            ending.append(str(OutcomeStatus.FAILED if failed else OutcomeStatus.SUCCEEDED))
        return answer

    @contextmanager
    def _watched(
        self,
        job: JobContext,
        kind: str,
        work_id: str,
        launch: int,
        agent_id: str,
        step_id: str | None,
    ) -> Iterator[list[str]]:
        began, started_at = trio.current_time(), self._now()
        ending: list[str] = []
        try:
            yield ending
        finally:
            took_s = trio.current_time() - began
            outcome = ending[0] if ending else str(OutcomeStatus.STOPPED)
            self._count.add(1, kind, outcome)
            self._seconds.observe(took_s, kind)
            self._spans.add(
                launch_span(
                    job.job_id,
                    job.trace_parent,
                    kind=kind,
                    work_id=work_id,
                    launch=launch,
                    agent_id=agent_id,
                    step_id=step_id,
                    started_at=started_at,
                    ended_at=started_at + took_s,
                    outcome=outcome,
                )
            )


class _WatchedModules:
    def __init__(self, watch: WatchedWork, modules: Modules, job: JobContext) -> None:
        self._watch = watch
        self._modules = modules
        self._job = job

    async def call(self, command: CallModule, note: TellNote) -> ModuleAnswer:
        """Let a worker handle a message."""
        return await self._watch.call(self._modules, self._job, command, note)


def launch_span(
    job_id: str,
    trace_parent: str,
    *,
    kind: str,
    work_id: str,
    launch: int,
    agent_id: str,
    step_id: str | None,
    started_at: float,
    ended_at: float,
    outcome: str,
) -> Span:
    """Return the span of one launch; that of a relaunch links to the launch before."""
    context = tracing.launch_context(job_id, work_id, launch, trace_parent)
    parent_id = tracing.job_span_id(job_id)
    attributes: dict[str, str | int | float | bool] = {
        "mnedge.job_id": job_id,
        "mnedge.agent_id": agent_id,
        "mnedge.attempt_id": work_id,
        "mnedge.launch": launch,
        "mnedge.outcome": outcome,
    }
    if step_id:
        parent_id = tracing.step_span_id(job_id, step_id)
        attributes["mnedge.step_id"] = step_id
    return Span(
        trace_id=context.trace_id,
        span_id=context.span_id,
        parent_id=parent_id,
        name=f"{kind} {agent_id}",
        started_at=started_at,
        ended_at=ended_at,
        status=_STATUS.get(outcome, "error"),
        sampled=bool(context.flags),
        attributes=attributes,
        links=[tracing.launch_span_id(job_id, work_id, launch - 1)] if launch > 1 else [],
    )


_STATUS = {"succeeded": "ok", "lost": "lost"}
