import json

import pytest

from tests.gateway.rest.bundles import over, submitted


@pytest.mark.drives("GET /api/v1/runs")
@pytest.mark.drives("GET /api/v1/runs/{run_id}")
async def test_run_folders_are_listed_and_read_also_those_of_no_job(node):
    job_id = await submitted(node.api)
    await over(node.api, job_id)
    old = node.rig.config.runs_root / "old-run"
    old.mkdir()
    (old / "run.json").write_text(json.dumps({"run_id": "old-run", "status": "completed"}))
    found = (await node.get("/runs"))["data"]
    assert {one["run_id"] for one in found} == {job_id, "old-run"}
    told = await node.get(f"/runs/{job_id}")
    kept = json.loads((node.rig.config.runs_root / job_id / "result.json").read_text())
    assert told["run"]["status"] == "completed"
    assert told["result"] == kept
    assert (await node.get("/runs/old-run"))["result"] is None
    first = await node.get("/runs?limit=1")
    second = await node.get("/runs", params={"limit": 1, "cursor": first["next"]})
    assert first["data"] != second["data"]
    assert second["next"] is None


@pytest.mark.parametrize("run_id", ["nothing", "..%2Fdata", "%2e%2e", ".hidden"])
async def test_what_is_no_run_is_not_found(node, run_id):
    answer = await node.api.get(f"/api/v1/runs/{run_id}")
    assert answer.status_code in (400, 404)
