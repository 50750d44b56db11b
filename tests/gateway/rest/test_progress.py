import json

import pytest

from tests.gateway.backends import served
from tests.gateway.rest.bundles import over
from tests.gateway.rest.streams import listening
from tests.runtime import rig


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/workflow-progress")
@pytest.mark.drives("GET /api/v1/jobs/{job_id}/workflow-progress/stream")
async def test_progress_is_told_at_once_and_followed_to_the_end(node):
    await rig.submitted(node.rig, rig.two_steps(), "steps")
    path = "/api/v1/jobs/steps/workflow-progress"
    async with listening(served(node.backend), f"{path}/stream", "interval=0.2") as listener:
        said = await listener.rest()
    assert {one.event for one in said} == {"snapshot"}
    last = json.loads(said[-1].data)
    assert last["status"] == "completed"
    assert last["counts"] == {"total": 2, "completed": 2}
    await over(node.api, "steps")
    assert await node.get("/jobs/steps/workflow-progress") == last
