import trio
from prometheus_client.parser import text_string_to_metric_families

from mnedge.bus import Bus, Published
from mnedge.model.events import Event
from mnedge.model.tracing import job_context, step_span_id
from mnedge.observe.jobs import JobWatch
from mnedge.observe.metrics import Registry
from mnedge.observe.traces import Spans
from mnedge.part import running
from mnedge.store.memory import MemoryStore
from tests.observe.watched import a_watched_rig, carried
from tests.runtime.rig import pipeline, submitted


def values(registry):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(registry.exposition().decode())
        for sample in family.samples
    }


async def test_a_job_is_counted_from_its_submission_to_its_end(tmp_path, autojump_clock):
    asked = f"00-{'a' * 32}-{'b' * 16}-01"
    async with a_watched_rig(tmp_path) as (rig, _, registry, spans):
        await carried(rig, pipeline(), trace_parent=asked)
        found = values(registry)
    assert found[("mnedge_submissions_total", ())] == 1
    assert found[("mnedge_jobs_finished_total", (("status", "completed"),))] == 1
    assert found[("mnedge_job_results_total", (("result", "completed"),))] == 1
    assert found[("mnedge_job_results_total", (("result", "failed"),))] == 0
    assert found[("mnedge_jobs", (("status", "running"),))] == 0
    assert found[("mnedge_events_total", (("family", "job"),))] >= 4
    (job,) = [span for span in spans.newest() if span.name == "job"]
    assert (job.trace_id, job.parent_id) == ("a" * 32, "b" * 16)
    (attempt,) = [span for span in spans.newest() if span.name == "attempt worker"]
    assert attempt.parent_id == job.span_id
    assert attempt.trace_id == job.trace_id


async def test_jobs_that_were_open_before_are_known(tmp_path, autojump_clock):
    async with a_watched_rig(tmp_path) as (rig, _, _registry, _spans):
        await submitted(rig, pipeline(), "job-2")
        registry = Registry()
        async with running(JobWatch(rig.store, rig.bus, registry, Spans())) as watch:
            await trio.testing.wait_all_tasks_blocked()
            assert values(registry)[("mnedge_jobs", (("status", "pending"),))] == 1
            (opened,) = watch.open_spans(job_context("job-2").trace_id)
            assert opened["job_id"] == "job-2"


def event(seq, type_, at=0.0, **payload):
    return Event(seq=seq, at=at, type=type_, agent_id=None, payload=payload)


async def watched(*batches):
    registry, spans, bus = Registry(), Spans(), Bus()
    async with (
        running(MemoryStore()) as store,
        running(JobWatch(store, bus, registry, spans)) as watch,
    ):
        for events in batches:
            bus.publish(Published("j", events))
        await trio.testing.wait_all_tasks_blocked()
        return watch, registry, spans, values(registry)


async def test_steps_are_spans_below_their_job():
    _, _, spans, _ = await watched(
        [event(1, "job_pending", 1.0), event(2, "workflow_step_attempt_started", 2.0, step_id="s")],
        [event(3, "workflow_step_completed", 5.0, step_id="s"), event(4, "job_completed", 6.0)],
    )
    job, step = spans.newest()
    assert (step.name, step.started_at, step.ended_at) == ("step s", 2.0, 5.0)
    assert step.span_id == step_span_id("j", "s")
    assert step.parent_id == job.span_id
    assert job.ended_at - job.started_at == 5.0


async def test_a_failure_by_its_input_says_nothing_about_this_node():
    _, _, _, found = await watched(
        [event(1, "job_failed", error={"category": "validation"})],
    )
    assert found[("mnedge_job_results_total", (("result", "failed"),))] == 0
    assert found[("mnedge_jobs_finished_total", (("status", "failed"),))] == 1
    _, _, _, found = await watched([event(1, "job_failed", error={"category": "timeout"})])
    assert found[("mnedge_job_results_total", (("result", "failed"),))] == 1
    _, _, _, found = await watched([event(1, "job_cancelled")])
    assert found[("mnedge_job_results_total", (("result", "failed"),))] == 0


async def test_what_workers_name_makes_no_series_of_its_own():
    _, _, _, found = await watched([event(n, f"invented_{n}") for n in range(1, 500)])
    families = [labels for name, labels in found if name == "mnedge_events_total"]
    assert families == [(("family", "worker"),)]
    assert found[("mnedge_events_total", (("family", "worker"),))] == 499


async def test_what_was_lost_is_told_and_open_jobs_are_learned_again():
    registry, bus = Registry(), Bus()
    async with (
        running(MemoryStore()) as store,
        running(JobWatch(store, bus, registry, Spans())),
    ):
        await trio.testing.wait_all_tasks_blocked()
        for number in range(10_050):
            bus.publish(Published(f"j{number}", [event(1, "job_pending")]))
        await trio.testing.wait_all_tasks_blocked()
        assert values(registry)[("mnedge_bus_batches_lost", ())] == 50
