import pytest

from mnedge.config.settings import Slo, Trace
from mnedge.model.tracing import trace_id_of
from tests.gateway.backends import a_backend, client
from tests.gateway.rest.bundles import submitted

GOAL = "cortex-availability"


@pytest.fixture
async def watched(tmp_path):
    trace = Trace(slos=(Slo(name=GOAL, target="99.9%"),))
    async with (
        a_backend(tmp_path, settings={"trace": trace}) as (backend, _),
        client(backend) as api,
    ):
        yield backend, api


@pytest.mark.drives("GET /api/v1/slo")
@pytest.mark.drives("GET /api/v1/alerts")
@pytest.mark.drives("POST /api/v1/alerts/{name}/silence")
async def test_goals_are_listed_and_silenced(watched):
    backend, api = watched
    [goal] = (await api.get("/api/v1/slo")).json()["data"]
    assert (goal["name"], goal["target"]) == (GOAL, 0.999)
    made = await api.post(f"/api/v1/alerts/{GOAL}/silence", json={"duration_s": 60, "reason": "x"})
    assert made.json()["until"] == backend.slo._silences[GOAL].until
    row = await backend.store.table.get(f"silence/{GOAL}")
    assert b'"reason":"x"' in row.value
    [alert] = (await api.get("/api/v1/alerts")).json()["data"]
    assert alert["silenced_until"] is not None
    over = await api.post(f"/api/v1/alerts/{GOAL}/silence", json={"duration_s": 0})
    assert over.json()["until"] is None
    assert await backend.store.table.get(f"silence/{GOAL}") is None
    assert (await api.post("/api/v1/alerts/nothing/silence", json={})).status_code == 404
    assert (
        await api.post(f"/api/v1/alerts/{GOAL}/silence", json={"duration_s": -1})
    ).status_code == 422
    [first, *_] = await backend.audit.newest(9)
    assert first.action == "alert.silence"


@pytest.mark.drives("POST /api/v1/alerts/{name}/test")
async def test_a_trial_says_what_became_of_it(watched):
    _, api = watched
    answer = await api.post(f"/api/v1/alerts/{GOAL}/test")
    assert answer.json() == {"data": []}, "no channel is configured"
    assert (await api.post("/api/v1/alerts/nothing/test")).status_code == 404


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/lineage")
@pytest.mark.drives("GET /api/v1/jobs/{job_id}/trace")
@pytest.mark.drives("GET /api/v1/traces/{trace_id}")
async def test_a_run_says_where_it_came_from(node):
    job_id = await submitted(node.api)
    record = await node.backend.host.finished(job_id)
    lineage = await node.get(f"/jobs/{job_id}/lineage")
    assert lineage["run_id"] == job_id
    assert lineage["code"]["bundle"] == record.bundle_digest
    assert lineage["actor"] == record.submitted_by
    trace = await node.get(f"/jobs/{job_id}/trace")
    assert trace["trace_id"] == trace_id_of(job_id, record.trace_parent)
    assert trace["spans"][0]["name"] == "job"
    await node.get("/jobs/nothing/lineage", 404)
    await node.get("/jobs/nothing/trace", 404)
    await node.get("/traces/nothing", 404)
    await node.get(f"/traces/{'a' * 32}", 404)
