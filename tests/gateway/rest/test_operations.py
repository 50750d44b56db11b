import json

import pytest
import trio

from tests.gateway.backends import served
from tests.gateway.rest.bundles import over, reached, submitted, working
from tests.gateway.rest.streams import listening
from tests.gateway.rest.test_steering import never


@pytest.mark.drives("POST /api/v1/operations/{operation}")
@pytest.mark.drives("GET /api/v1/operations/{operation}")
@pytest.mark.drives("GET /api/v1/operations/{operation}/events")
async def test_all_jobs_are_cancelled_and_the_operation_is_followed(node):
    node.rig.executor.work["worker"] = never
    ids = [await submitted(node.api, working()) for _ in range(2)]
    for job_id in ids:
        await reached(node.api, job_id, "running")
    begun = await node.post("/operations/cancel_all_jobs", {}, 202)
    place = f"/operations/{begun['operation_id']}"
    stream = f"/api/v1{place}/events"
    accept = {"accept": "text/event-stream"}
    async with listening(served(node.backend), stream, headers=accept) as listener:
        said = await listener.rest()
    assert said[-1].event == "end"
    assert json.loads(said[-1].data)["counters"]["succeeded"] == 2
    told = await node.get(place)
    assert told["status"] == "completed"
    listed = (await node.get(f"{place}/events"))["data"]
    assert [str(one["sequence"]) for one in listed] == [one.id for one in said[:-1]]
    for job_id in ids:
        assert (await over(node.api, job_id))["job"]["status"] == "cancelled"


async def test_an_operation_that_is_not_there_is_refused(node):
    assert (await node.post("/operations/nothing", status=400))["code"] == "operation.unknown"
    assert (await node.get("/operations/nothing", 404))["code"] == "operation.not_found"
    assert (await node.post("/operations/drain_node", [], status=422))["code"] == "request.invalid"
    await trio.lowlevel.checkpoint()
