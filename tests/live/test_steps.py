"""Workers that die, hang, fall silent or answer too late: each ends as its step says."""

import json
from pathlib import Path

import pytest
import trio

from mnedge.daemon.clock import wall_clock
from mnedge.execution.procfs import running_tokens
from mnedge.model.states import FailurePolicy, JobStatus, TriggerRule, Verb
from mnedge.runtime import jobs
from tests.live.flow import chain, flow, shell

pytestmark = pytest.mark.live

GOOD = 'echo \'{"complete_step": "well"}\''
FIRST = '[ "$MN_WORKFLOW_ATTEMPT" = 1 ]'
TOLD = (
    "workflow_step_attempt_started",
    "workflow_step_attempt_timed_out",
    "workflow_step_attempt_retry_scheduled",
    "workflow_step_completed",
    "workflow_step_failed",
    "workflow_step_partial",
)


def tries(count, **more):
    return {"w": {"max_attempts": count, "retry_backoff_ms": 0, **more}}


def told(run):
    return [one["type"].removeprefix("workflow_step_") for one in run.events(*TOLD)]


async def test_a_worker_that_is_killed_is_tried_again(tmp_path):
    worker = shell("w", f"{FIRST} && kill -9 $$; {GOOD}")
    async with flow(tmp_path, chain(worker, steps=tries(2))) as run:
        assert (await run.finished()).status is JobStatus.COMPLETED
        assert told(run) == [
            "attempt_started",
            "attempt_retry_scheduled",
            "attempt_started",
            "completed",
        ]
        assert run.steps() == {"w": ("completed", "success", 2)}


async def test_a_worker_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    worker = shell("w", f"{FIRST} && {{ sleep 600 & sleep 600; }}; {GOOD}")
    spec = chain(worker, steps=tries(2, timeout_s=1.0))
    async with flow(tmp_path, spec, MN_EXECUTOR_MAX_CONCURRENCY="1") as run:
        assert (await run.finished()).status is JobStatus.COMPLETED
        assert told(run) == [
            "attempt_started",
            "attempt_timed_out",
            "attempt_retry_scheduled",
            "attempt_started",
            "completed",
        ]
        (timed_out,) = run.events("workflow_step_attempt_timed_out")
        assert timed_out["payload"]["reason"] == "deadline exceeded"
        assert "error" in timed_out
        assert not [found for found in running_tokens() if found[1].startswith(run.job_id)]
        assert list((run.config.data_dir / "work").glob(f"{run.job_id}/*")) == []


async def test_the_only_slot_is_free_again_when_a_worker_was_stopped(tmp_path):
    hangs = shell("w", "exec sleep 600")
    after = shell("after", GOOD)
    goes_on = {"required": False, "failure_policy": FailurePolicy.CONTINUE_PARTIAL}
    steps = {"w": {"timeout_s": 0.5, **goes_on}, "after": {"rule": TriggerRule.ALL_DONE}}
    spec = chain(hangs, after, steps=steps)
    async with flow(tmp_path, spec, MN_EXECUTOR_MAX_CONCURRENCY="1") as run:
        assert (await run.finished()).status is JobStatus.COMPLETED
        leases = run.events("executor_lease_acquired", "executor_lease_released")
        assert [(one["agent_id"], one["type"].rpartition("_")[2]) for one in leases] == [
            ("w", "acquired"),
            ("w", "released"),
            ("after", "acquired"),
            ("after", "released"),
        ]


async def test_a_step_whose_worker_gives_no_sign_of_life_is_tried_again(tmp_path):
    worker = shell("w", f"{FIRST} && exec sleep 600; {GOOD}")
    steps = tries(2, timeout_s=60.0, beacon_timeout_ms=700)
    async with flow(tmp_path, chain(worker, steps=steps)) as run:
        assert (await run.finished()).status is JobStatus.COMPLETED
        (timed_out,) = run.events("workflow_step_attempt_timed_out")
        assert timed_out["payload"]["reason"] == "heartbeat deadline exceeded"


async def test_a_worker_that_beacons_lives_longer_than_its_heartbeat(tmp_path):
    beats = 'for n in 1 2 3 4 5 6; do echo "__MN_AGENT_BEACON__ {}"; sleep 0.25; done'
    worker = shell("w", f"{beats}; {GOOD}", beacon_timeout_ms=700)
    steps = tries(1, timeout_s=60.0, beacon_timeout_ms=700)
    async with flow(tmp_path, chain(worker, steps=steps)) as run:
        assert (await run.finished()).status is JobStatus.COMPLETED
        assert run.events("workflow_step_beacon")
        assert run.steps() == {"w": ("completed", "success", 1)}


async def test_a_worker_that_must_beacon_and_does_not_is_told_as_missed(tmp_path):
    worker = shell(
        "w",
        f"{FIRST} && exec sleep 600; {GOOD}",
        beacon_enabled=True,
        agent_beacon_required=True,
        beacon_timeout_ms=500,
        beacon_interval_ms=200,
    )
    async with flow(tmp_path, chain(worker, steps=tries(2, timeout_s=60.0))) as run:
        assert (await run.finished()).status is JobStatus.COMPLETED
        assert len(run.events("agent_beacon_missed")) == 1
        assert run.steps() == {"w": ("completed", "success", 2)}


async def test_an_answer_after_the_deadline_counts_for_nothing(tmp_path):
    late = 'trap \'echo "{\\"complete_step\\": \\"late\\"}"; exit 0\' TERM; sleep 600 & wait'
    worker = shell("w", f"if {FIRST}; then {late}; fi; {GOOD}")
    async with flow(tmp_path, chain(worker, steps=tries(2, timeout_s=0.5))) as run:
        assert (await run.finished()).status is JobStatus.COMPLETED
        assert run.steps() == {"w": ("completed", "success", 2)}
        assert "late" not in run.file("result.json").read_text()


async def test_a_step_that_never_works_fails_its_job_by_name(tmp_path):
    async with flow(tmp_path, chain(shell("w", "exit 7"), steps=tries(2))) as run:
        record = await run.finished()
        assert record.status is JobStatus.FAILED
        assert record.error["details"]["step_id"] == "w"
        assert record.error["code"] == "workflow.step.retry_exhausted"
        assert run.steps() == {"w": ("failed", "failed", 2)}


async def test_a_worker_finds_its_step_its_parents_and_its_deadline(tmp_path):
    out = tmp_path / "seen"
    first = shell("first", 'echo \'{"complete_step": {"n": 7}}\'')
    second = shell("second", f'cp "$MN_CONTEXT_FILE" {out}.json; env > {out}.env; {GOOD}')
    async with flow(tmp_path, chain(first, second)) as run:
        assert (await run.finished()).status is JobStatus.COMPLETED
    workflow = json.loads(Path(f"{out}.json").read_text())["workflow"]
    assert (workflow["step_id"], workflow["attempt_id"]) == ("second", "second:attempt:1")
    assert workflow["deadline_at"].endswith("Z")
    (parent,) = workflow["parents"]
    assert (parent["step_id"], parent["status"], parent["output"]) == (
        "first",
        "completed",
        {"n": 7},
    )
    environment = Path(f"{out}.env").read_text()
    assert f"MN_WORKFLOW_DEADLINE_AT={workflow['deadline_at']}\n" in environment
    assert "MIRROR_NEURON_WORKFLOW_STEP_ID=second\n" in environment


async def test_what_a_worker_says_while_it_runs_counts_at_once(tmp_path):
    says = '__MN_EVENT__ {"type": "workflow_step_failed", "payload": {"reason": "no paper"}}'
    worker = shell("w", f"{FIRST} && {{ echo '{says}'; exec sleep 600; }}; {GOOD}")
    async with flow(tmp_path, chain(worker, steps=tries(2))) as run:
        assert (await run.finished()).status is JobStatus.COMPLETED
        (again,) = run.events("workflow_step_attempt_retry_scheduled")
        assert again["payload"]["reason"] == "no paper"


async def test_a_pause_ends_a_steps_workers_and_a_resume_starts_them_again(tmp_path):
    gate = tmp_path / "gate"
    worker = shell(
        "w", f"sleep 600 & while [ ! -e {gate} ]; do sleep 0.05; done; {GOOD}", idempotent=True
    )
    async with flow(tmp_path, chain(worker)) as run:
        await run.until("executor_lease_acquired")
        await asked(run, Verb.PAUSE)
        with trio.fail_after(10):
            while [found for found in running_tokens() if found[1].startswith(run.job_id)]:
                await trio.sleep(0.05)
        gate.touch()
        await asked(run, Verb.RESUME)
        assert (await run.finished()).status is JobStatus.COMPLETED
        assert len(run.events("executor_lease_acquired")) == 2
        assert run.steps() == {"w": ("completed", "success", 1)}
        (blocked,) = run.events("workflow_step_blocked")
        assert blocked["payload"]["reason"] == "job paused"


async def asked(run, verb):
    request = await jobs.ask(run.here.store, run.job_id, verb, now=wall_clock)
    return await jobs.settled(run.here.store, request, timeout_s=10)
