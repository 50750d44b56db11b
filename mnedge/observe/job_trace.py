"""The whole trace of a job, read again from its journal: also after crashes, and of long ago."""

from typing import Any

import msgspec

from mnedge.model import tracing
from mnedge.observe.jobs import JobWatch
from mnedge.observe.replay import Story, replayed
from mnedge.observe.traces import Span, Spans
from mnedge.observe.work import launch_span
from mnedge.runtime import jobs


def spans_of(story: Story) -> list[Span]:
    """Return the spans of a job, its steps and launches; what still runs ends where it was seen."""
    record = story.record
    context = tracing.job_context(record.job_id, record.trace_parent)
    parent = tracing.parsed(record.trace_parent)
    seen_at = record.ended_at or max(
        [record.updated_at, *(one.ended_at or one.started_at for one in story.launches)]
    )
    launches: list[Span] = []
    for one in story.launches:
        ended_at = one.ended_at
        if ended_at is None:
            ended_at = next((at for at in story.recovered_at if at > one.started_at), seen_at)
        launches.append(
            launch_span(
                record.job_id,
                record.trace_parent,
                kind=one.kind,
                work_id=one.work_id,
                launch=one.launch,
                agent_id=one.agent_id,
                step_id=one.step_id,
                started_at=one.started_at,
                ended_at=ended_at,
                outcome=one.outcome,
            )
        )
    job = Span(
        trace_id=context.trace_id,
        span_id=context.span_id,
        parent_id="" if parent is None else parent.span_id,
        name="job",
        kind="consumer",
        started_at=record.submitted_at,
        ended_at=max(seen_at, record.submitted_at),
        status="error" if str(record.status) in ("failed", "cancelled", "faulted") else "ok",
        sampled=bool(context.flags),
        attributes={
            "mnedge.job_id": record.job_id,
            "mnedge.status": str(record.status),
            "mnedge.recovered": len(story.recovered_at),
        },
    )
    steps = [_step(job, step_id, launches) for step_id in dict.fromkeys(_steps_in(launches))]
    return [job, *steps, *launches]


async def trace_for(
    trace_id: str, spans: Spans, watch: JobWatch, stores: jobs.Stores
) -> dict[str, Any]:
    """Return what is known of a trace: `{trace_id, spans, open}`, spans as they began.

    Spans of requests come from memory, those of jobs in it from their journals.
    Raises: UnavailableError.
    """
    found = {span.span_id: span for span in spans.of_trace(trace_id)}
    opened = list(watch.open_spans(trace_id))
    job_ids = {span.attributes.get("mnedge.job_id") for span in found.values()}
    job_ids |= {one["job_id"] for one in opened}
    for job_id in sorted(str(job_id) for job_id in job_ids if job_id):
        try:
            story = await replayed(stores, job_id)
        except jobs.JobNotFoundError:
            continue
        if tracing.trace_id_of(job_id, story.record.trace_parent) == trace_id:
            found |= {span.span_id: span for span in spans_of(story)}
    return {
        "trace_id": trace_id,
        "spans": [
            msgspec.to_builtins(span)
            for span in sorted(found.values(), key=lambda span: span.started_at)
        ],
        "open": opened,
    }


async def trace_of_job(job_id: str, stores: jobs.Stores) -> dict[str, Any]:
    """Return the trace of a job, whether anybody remembers it or not.

    Raises: JobNotFoundError; CorruptError; UnavailableError.
    """
    story = await replayed(stores, job_id)
    return {
        "trace_id": tracing.trace_id_of(job_id, story.record.trace_parent),
        "spans": [msgspec.to_builtins(span) for span in spans_of(story)],
        "open": [],
    }


def _steps_in(launches: list[Span]) -> list[str]:
    named = (span.attributes.get("mnedge.step_id") for span in launches)
    return [str(step_id) for step_id in named if step_id]


def _step(job: Span, step_id: str, launches: list[Span]) -> Span:
    own = [span for span in launches if span.attributes.get("mnedge.step_id") == step_id]
    return Span(
        trace_id=job.trace_id,
        span_id=tracing.step_span_id(str(job.attributes["mnedge.job_id"]), step_id),
        parent_id=job.span_id,
        name=f"step {step_id}",
        started_at=min(span.started_at for span in own),
        ended_at=max(span.ended_at for span in own),
        status=own[-1].status,
        sampled=job.sampled,
        attributes={"mnedge.job_id": job.attributes["mnedge.job_id"], "mnedge.step_id": step_id},
    )
