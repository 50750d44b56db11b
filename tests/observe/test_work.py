import pytest
import trio

from mnedge.model.facts import Outcome
from mnedge.model.states import AgentKind, OutcomeStatus
from mnedge.model.tracing import job_context, job_span_id, launch_span_id, step_span_id
from mnedge.observe.work import launch_span
from tests.observe.watched import a_watched_rig, carried
from tests.runtime.rig import EPOCH, a_spec, agent, pipeline, succeeded


async def slow(command):
    await trio.sleep(2)
    return succeeded()


async def broken(command):
    await trio.lowlevel.checkpoint()
    return Outcome(status=OutcomeStatus.FAILED, error={"error": "no", "attempts": 1})


async def test_each_launch_is_a_span_and_a_figure(tmp_path, autojump_clock):
    async with a_watched_rig(tmp_path, {"worker": slow}) as (rig, _, registry, spans):
        await carried(rig, pipeline())
    (span,) = [span for span in spans.newest() if span.name == "attempt worker"]
    assert span.ended_at - span.started_at == pytest.approx(2)
    assert span.started_at >= EPOCH
    assert span.trace_id == job_context("job-1").trace_id
    assert span.parent_id == job_span_id("job-1")
    assert span.attributes["mnedge.outcome"] == "succeeded"
    assert span.links == []
    counted = registry.counter("mnedge_attempts_total", "", ["kind", "outcome"])
    assert counted.value("attempt", "succeeded") == 1
    (count,) = [
        sample.value
        for sample in registry.samples(["mnedge_attempt_duration_seconds"])
        if sample.name.endswith("_count")
    ]
    assert count == 1


async def test_a_failure_is_told_and_the_answer_goes_through(tmp_path, autojump_clock):
    async with a_watched_rig(tmp_path, {"worker": broken}) as (rig, _, registry, spans):
        record = await carried(rig, pipeline())
    assert record.status == "failed"
    (span,) = [span for span in spans.newest() if span.name == "attempt worker"]
    assert span.status == "error"
    counted = registry.counter("mnedge_attempts_total", "", ["kind", "outcome"])
    assert counted.value("attempt", "failed") == 1


async def test_a_launch_that_is_stopped_is_told_too(tmp_path, autojump_clock):
    async with a_watched_rig(tmp_path, {"worker": slow}) as (rig, _, _registry, spans):
        with trio.move_on_after(1):
            await carried(rig, pipeline())
    (span,) = [span for span in spans.newest() if span.name == "attempt worker"]
    assert span.attributes["mnedge.outcome"] == "stopped"


async def test_calls_of_module_agents_are_watched(tmp_path, autojump_clock):
    spec = a_spec([agent("m", AgentKind.MODULE, module="python:a:B")], [], {"m": [{"n": 1}]})
    async with a_watched_rig(tmp_path) as (rig, _, registry, spans):
        with trio.move_on_after(5):
            await carried(rig, spec)
    assert [span.name for span in spans.newest() if span.name == "call m"]
    counted = registry.counter("mnedge_attempts_total", "", ["kind", "outcome"])
    assert counted.value("call", "succeeded") >= 1


def test_a_relaunch_links_to_the_launch_before_and_stands_under_its_step():
    span = launch_span(
        "j", f"00-{'a' * 32}-{'b' * 16}-00", kind="attempt", work_id="w:1", launch=3,
        agent_id="w", step_id="s", started_at=1.0, ended_at=2.0, outcome="lost",
    )  # fmt: skip
    assert span.links == [launch_span_id("j", "w:1", 2)]
    assert span.parent_id == step_span_id("j", "s")
    assert (span.status, span.sampled, span.trace_id) == ("lost", False, "a" * 32)
