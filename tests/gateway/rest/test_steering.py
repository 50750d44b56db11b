import pytest
import trio

from mnedge.model.facts import Outcome
from mnedge.model.states import JobStatus, OutcomeStatus
from mnedge.runtime import jobs
from tests.gateway.rest.bundles import over, reached, submitted, working
from tests.runtime import rig


async def never(command):
    await trio.sleep_forever()


async def a_running_job(node) -> str:
    node.rig.executor.work["worker"] = never
    job_id = await submitted(node.api, working())
    await reached(node.api, job_id, "running")
    return job_id


@pytest.mark.drives("POST /api/v1/jobs/{job_id}/cancel")
async def test_a_job_is_cancelled_and_the_answer_says_so(node):
    job_id = await a_running_job(node)
    told = await node.post(f"/jobs/{job_id}/cancel", {"reason": "enough"})
    assert told["settled"]
    assert told["status"] == told["job"]["status"] == "cancelled"
    assert (await jobs.read_job(node.rig.store, job_id)).status is JobStatus.CANCELLED
    assert told["request"]["reason"] == "enough"
    again = await node.post(f"/jobs/{job_id}/cancel", status=409)
    assert again["code"] == "job.status"


@pytest.mark.drives("POST /api/v1/jobs/{job_id}/pause")
@pytest.mark.drives("POST /api/v1/jobs/{job_id}/resume")
async def test_a_job_is_paused_and_resumed(node):
    job_id = await a_running_job(node)
    assert (await node.post(f"/jobs/{job_id}/pause"))["status"] == "paused"
    assert (await jobs.read_job(node.rig.store, job_id)).status is JobStatus.PAUSED
    assert (await node.post(f"/jobs/{job_id}/pause", status=409))["code"] == "job.status"
    assert (await node.post(f"/jobs/{job_id}/resume"))["status"] == "running"
    assert (await jobs.read_job(node.rig.store, job_id)).status is JobStatus.RUNNING


async def test_who_does_not_wait_is_told_that_it_was_asked(node):
    job_id = await a_running_job(node)
    told = await node.post(f"/jobs/{job_id}/cancel?wait=0", status=202)
    assert not told["settled"]
    assert (await over(node.api, job_id))["job"]["status"] == "cancelled"


@pytest.mark.drives("POST /api/v1/jobs/{job_id}/retry")
async def test_a_failed_job_goes_on_as_a_new_one(node):
    async def failed(command):
        return Outcome(status=OutcomeStatus.FAILED, error={"error": "no"})

    node.rig.executor.work["cleaner"] = failed
    await rig.submitted(node.rig, rig.two_steps(clean={"max_attempts": 1}), "first")
    assert (await over(node.api, "first", within_s=3000))["job"]["status"] == "failed"
    node.rig.executor.work.clear()
    told = await node.post("/jobs/first/retry", {"run_id": "second"}, status=201)
    assert told["retries"] == "first"
    assert told["kept"] == ["fetch"]
    assert (await over(node.api, "second"))["job"]["status"] == "completed"
    assert (await jobs.read_job(node.rig.store, "second")).status is JobStatus.COMPLETED


async def test_a_retry_of_what_is_unknown_or_badly_named_is_refused(node):
    assert (await node.post("/jobs/nothing/retry", status=404))["code"] == "job.not_found"
    job_id = await submitted(node.api)
    told = await node.post(f"/jobs/{job_id}/retry", {"run_id": "../x"}, status=400)
    assert told["code"] == "job.id_invalid"
