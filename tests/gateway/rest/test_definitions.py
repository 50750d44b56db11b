import pytest

from mnedge.runtime import jobs
from tests.gateway.rest.bundles import flow, over


async def made(node, **more):
    body = {"manifest": flow(), "definition_id": "daily", **more}
    answer = await node.api.post("/api/v1/definitions", json=body)
    assert answer.status_code == 201, answer.text
    return answer


@pytest.mark.drives("POST /api/v1/definitions")
@pytest.mark.drives("GET /api/v1/definitions")
@pytest.mark.drives("GET /api/v1/definitions/{definition_id}")
async def test_a_definition_is_kept_and_found(node):
    answer = await made(node, configuration={"logging": {"level": "DEBUG"}})
    assert answer.headers["location"] == "/api/v1/definitions/daily"
    kept = await node.backend.definitions.get("daily")
    assert kept.configuration == {"logging": {"level": "DEBUG"}}
    assert (await node.get("/definitions/daily"))["bundle_digest"] == kept.bundle_digest
    assert [one["definition_id"] for one in (await node.get("/definitions"))["data"]] == ["daily"]
    again = await node.post(
        "/definitions", {"manifest": flow(), "definition_id": "daily"}, status=409
    )
    assert again["code"] == "definition.exists"
    assert (await node.get("/definitions/nothing", 404))["code"] == "definition.not_found"


@pytest.mark.drives("PATCH /api/v1/definitions/{definition_id}")
async def test_a_definition_is_changed_unless_it_changed_meanwhile(node):
    tag = (await made(node)).headers["etag"]
    path = "/api/v1/definitions/daily"
    body = {"storage": {"root": "here"}}
    changed = await node.api.patch(path, json=body, headers={"if-match": tag})
    assert changed.status_code == 200
    assert (await node.backend.definitions.get("daily")).storage == body["storage"]
    late = await node.api.patch(path, json={"storage": {}}, headers={"if-match": tag})
    assert late.status_code == 412
    assert late.json()["code"] == "definition.changed"
    assert (await node.backend.definitions.get("daily")).storage == body["storage"]
    any_ = await node.api.patch(path, json={"storage": {}}, headers={"if-match": "*"})
    assert any_.status_code == 200


@pytest.mark.drives("POST /api/v1/definitions/{definition_id}/runs")
@pytest.mark.drives("GET /api/v1/definitions/{definition_id}/runs")
async def test_a_definition_is_started_again_and_again(node):
    await made(node)
    first = await node.post("/definitions/daily/runs", {"run_id": "monday"}, 201)
    second = await node.post("/definitions/daily/runs", {"inputs": {"n": 2}}, 201)
    assert first["job_id"] == "monday"
    for job_id in (first["job_id"], second["job_id"]):
        assert (await over(node.api, job_id))["job"]["status"] == "completed"
        assert (await jobs.read_job(node.rig.store, job_id)).definition_id == "daily"
    found = (await node.get("/definitions/daily/runs"))["data"]
    assert {one["job_id"] for one in found} == {first["job_id"], second["job_id"]}


@pytest.mark.drives("POST /api/v1/definitions/{definition_id}/archive")
@pytest.mark.drives("POST /api/v1/definitions/{definition_id}/reset")
@pytest.mark.drives("DELETE /api/v1/definitions/{definition_id}")
async def test_a_definition_is_emptied_archived_and_forgotten(node):
    await made(node)
    assert (await node.post("/definitions/daily/reset"))["data_generation"] == 2
    assert (await node.post("/definitions/daily/archive"))["status"] == "archived"
    assert (await node.backend.definitions.get("daily")).status == "archived"
    assert (await node.get("/definitions"))["data"] == []
    assert (await node.get("/definitions?include_archived=true"))["data"] != []
    refused = await node.post("/definitions/daily/runs", status=409)
    assert refused["code"] == "definition.archived"
    unsure = await node.api.delete("/api/v1/definitions/daily")
    assert unsure.json()["code"] == "definition.unconfirmed"
    gone = await node.api.delete("/api/v1/definitions/daily?confirmed=true")
    assert gone.status_code == 200
    assert await node.backend.definitions.every(include_archived=True) == []
