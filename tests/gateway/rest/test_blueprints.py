import json

import pytest

from mnedge.bundle.catalogue import listed
from mnedge.runtime import jobs
from tests.gateway.rest.bundles import archive, flow


@pytest.mark.drives("GET /api/v1/blueprints")
async def test_blueprints_are_listed_page_by_page(node):
    seen, cursor = [], ""
    while cursor is not None:
        page = await node.get("/blueprints", params={"limit": 7, "cursor": cursor})
        seen += [one["id"] for one in page["data"]]
        cursor = page["next"]
    assert seen == [one.blueprint_id for one in listed({})]


@pytest.mark.drives("GET /api/v1/blueprints/{blueprint_id}")
async def test_a_blueprint_is_shown_with_its_graphs(node):
    told = await node.get("/blueprints/message_routing_trace")
    assert told["valid"]
    assert told["graphs"]["agents"]["nodes"]
    assert told["blueprint"]["job_name"] == "message-routing-trace"
    assert (await node.get("/blueprints/nothing", 404))["code"] == "blueprint.not_found"


@pytest.mark.drives("POST /api/v1/blueprints/{blueprint_id}/validate")
async def test_a_blueprint_is_checked_with_a_configuration(node):
    told = await node.post("/blueprints/message_routing_trace/validate")
    assert told["valid"]
    assert told["errors"] == []
    assert await jobs.list_jobs(node.rig.store) == []


@pytest.mark.drives("POST /api/v1/blueprints/validate")
async def test_what_is_sent_is_checked_and_not_run(node):
    assert (await node.post("/blueprints/validate", flow()))["valid"]
    bad = await node.post("/blueprints/validate", {"nodes": []})
    assert not bad["valid"]
    assert "M-05" in {one["rule"] for one in bad["errors"]}
    paths = await node.post(
        "/blueprints/validate", {"manifest": flow(), "payloads": {"../a": "x", "/b": "y"}}
    )
    assert len(paths["errors"]) == 2
    packed = archive({"manifest.json": json.dumps(flow()).encode(), "config/default.json": b"{}"})
    answer = await node.api.post(
        "/api/v1/blueprints/validate", content=packed, headers={"content-type": "application/zip"}
    )
    assert answer.json()["valid"], answer.text
    assert await jobs.list_jobs(node.rig.store) == []
