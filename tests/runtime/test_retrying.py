"""A failed job goes on as a new one, from where it failed."""

import pytest
import trio

from mnedge.engine.compile import compile_job
from mnedge.model.facts import NamedEvent, Outcome, Structured
from mnedge.model.manifest import StepEdge
from mnedge.model.states import AgentKind, JobStatus, OutcomeStatus
from mnedge.runtime import jobs
from mnedge.runtime.retrying import RetryImpossibleError, carried_of, retry
from mnedge.runtime.view import committed_state, job_view
from tests.runtime.rig import (
    a_rig,
    a_spec,
    agent,
    edge,
    now,
    pipeline,
    step,
    submitted,
    succeeded,
    two_steps,
    workflow_of,
)


async def broken(command):
    await trio.lowlevel.checkpoint()
    return Outcome(status=OutcomeStatus.FAILED, error={"error": "no paper", "attempts": 1})


async def failed(rig, host, spec, job_id="job-1"):
    await submitted(rig, spec, job_id)
    await host.start_job(job_id)
    record = await host.finished(job_id)
    assert record.status is JobStatus.FAILED
    return record


async def carried(rig, job_id="job-1"):
    record = await jobs.read_job(rig.store, job_id)
    job = compile_job(await jobs.read_spec(rig.store, job_id), revision=record.engine_revision)
    return carried_of(job, await committed_state(rig.store, job, job_id), job_id)


async def again(rig, host, job_id="job-1", **more):
    made, done = await retry(rig.store, rig.config, job_id, runners={}, now=now, **more)
    await host.start_job(made.job_id)
    return await host.finished(made.job_id), done


async def test_finished_steps_are_not_run_again_and_the_failed_one_keeps_its_key(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work["cleaner"] = broken
        await failed(rig, host, two_steps())
        key, message = rig.executor.orders[-1].idempotency_key, rig.executor.orders[-1].message
        del rig.executor.work["cleaner"], rig.executor.orders[:]
        record, done = await again(rig, host, new_id="job-2")
        assert (record.job_id, record.status) == ("job-2", JobStatus.COMPLETED)
        assert done == ["fetch"]
        [order] = rig.executor.orders
        assert (order.agent_id, order.idempotency_key) == ("cleaner", key)
        assert (order.message.type, order.message.body) == (message.type, message.body)
        assert order.message.headers["mn.workflow.attempt_id"] == "clean:attempt:1"
        [parent] = order.workflow["parents"]
        assert (parent["step_id"], parent["status"]) == ("fetch", "completed")
        assert (await jobs.read_job(rig.store, "job-1")).status is JobStatus.FAILED
        steps = (await job_view(rig.store, "job-2")).workflow["steps"]
        assert steps["fetch"]["terminal_reason"] == "carried over"


async def test_it_may_be_retried_as_often_as_it_fails(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work["cleaner"] = broken
        await failed(rig, host, two_steps())
        second, _ = await again(rig, host, new_id="job-2")
        assert second.status is JobStatus.FAILED
        del rig.executor.work["cleaner"], rig.executor.orders[:]
        third, done = await again(rig, host, "job-2", new_id="job-3")
        assert (third.status, done) == (JobStatus.COMPLETED, ["fetch"])
        assert [order.agent_id for order in rig.executor.orders] == ["cleaner"]


async def test_only_a_failed_job_with_steps_is_retried(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submitted(rig, two_steps())
        with pytest.raises(RetryImpossibleError, match="only a failed job"):
            await retry(rig.store, rig.config, "job-1", runners={}, now=now)
        rig.executor.work["worker"] = broken
        await failed(rig, host, pipeline(), "job-2")
        with pytest.raises(RetryImpossibleError, match="has no steps"):
            await retry(rig.store, rig.config, "job-2", runners={}, now=now)


def fan(**more):
    """A step that scatters another, and one that collects."""
    return a_spec(
        [
            agent("splitter", AgentKind.EXECUTOR, output_message_type=None),
            agent("worker", AgentKind.EXECUTOR, output_message_type="part"),
            agent("collector", AgentKind.EXECUTOR, output_message_type=None),
            agent("other", AgentKind.EXECUTOR, output_message_type=None),
        ],
        [edge("worker", "collector", "part")],
        {"splitter": [{}], "other": [{}]},
        workflow=workflow_of(
            [
                step("split", "splitter"),
                step("work", "worker"),
                step("collect", "collector"),
                step("other", "other"),
            ],
            [
                StepEdge(edge_id="a", source="split", target="work"),
                StepEdge(edge_id="b", source="work", target="collect"),
            ],
        ),
        **more,
    )


async def test_what_was_scattered_is_scattered_again(tmp_path, autojump_clock):
    async def scatters(command):
        payload = {"target": "work", "items": [1, 2, 3]}
        event = NamedEvent(type="workflow_step_scatter", payload=payload)
        return succeeded(structured=Structured(events=[event]))

    async with a_rig(tmp_path) as rig, rig.host() as host:
        rig.executor.work |= {"splitter": scatters, "collector": broken}
        await failed(rig, host, fan())
        kept = await carried(rig)
        assert [name for name, one in kept.items() if "status" in one] == ["other"]
        del rig.executor.work["collector"], rig.executor.orders[:]
        record, done = await again(rig, host, new_id="job-2")
        assert (record.status, done) == (JobStatus.COMPLETED, ["other"])
        ran = [order.agent_id for order in rig.executor.orders]
        assert ran.count("worker") == 3
        assert "other" not in ran
