"""Jobs, as older clients know them."""

import pytest

from tests.gateway.grpc.wire import V1, a_wire


@pytest.mark.drives(f"{V1}/SubmitJob")
@pytest.mark.drives(f"{V1}/GetJob")
async def test_a_job_is_submitted_runs_and_is_shown_whole(tmp_path):
    async with a_wire(tmp_path) as wire:
        job_id = await wire.submit()
        record = await wire.over(job_id)
        assert record.submitted_by == "user:ada"
        found = await wire.job(job_id)
        assert found["job"]["status"] == found["summary"]["status"] == "completed"
        assert found["job"]["run_id"] == job_id
        assert [one["agent_id"] for one in found["agents"]] == ["intake", "worker", "end"]
        assert found["recent_events"][0]["type"] == "run_completed"
        assert found["resource_usage"] == {}
        assert ("user:ada", "job.submit", f"job/{job_id}", "allow") in await wire.audited()
