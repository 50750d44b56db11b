import pytest
import trio

from mnedge.runtime.view import job_view
from tests.gateway.rest.bundles import gated, over, reached, submitted


async def asked(node) -> tuple[str, str]:
    """Have a job that asks; return its id and the request's."""
    job_id = await submitted(node.api, gated())
    with trio.fail_after(60):
        while not (found := (await node.get(f"/jobs/{job_id}/human-requests"))["data"]):
            await trio.sleep(0.05)
    await reached(node.api, job_id, "running")
    return job_id, found[0]["request_id"]


@pytest.mark.drives("GET /api/v1/human-requests")
@pytest.mark.drives("GET /api/v1/jobs/{job_id}/human-requests")
async def test_what_waits_for_a_person_is_listed(node):
    job_id, request_id = await asked(node)
    view = await job_view(node.rig.store, job_id)
    assert [one["request_id"] for one in view.human_requests] == [request_id]
    every = (await node.get("/human-requests"))["data"]
    assert [(one["job_id"], one["request_id"]) for one in every] == [(job_id, request_id)]


@pytest.mark.drives("POST /api/v1/jobs/{job_id}/human-requests/{request_id}/respond")
@pytest.mark.parametrize("body", [{"decision": "approve"}, {"approved": True, "comment": "fine"}])
async def test_an_answer_lets_the_job_go_on(node, body):
    job_id, request_id = await asked(node)
    told = await node.post(f"/jobs/{job_id}/human-requests/{request_id}/respond", body)
    assert told == {
        "job_id": job_id,
        "request_id": request_id,
        "decision": "approve",
        "settled": True,
    }
    assert (await over(node.api, job_id))["job"]["status"] == "completed"
    assert (await job_view(node.rig.store, job_id)).human_requests == []


async def test_an_answer_that_is_not_allowed_or_comes_too_late_is_refused(node):
    job_id, request_id = await asked(node)
    place = f"/jobs/{job_id}/human-requests/{request_id}/respond"
    told = await node.post(place, {"decision": "maybe"}, status=400)
    assert told["code"] == "human.decision_not_allowed"
    assert (await node.post(place, {}, status=422))["errors"][0]["path"] == "body.decision"
    assert (await node.post(place, {"aproved": True}, status=422))["errors"][0]["hint"] == (
        "did you mean approved?"
    )
    await node.post(place, {"approved": False})
    assert (await node.post(place, {"approved": True}, status=404))["code"] == (
        "human.request_not_found"
    )
