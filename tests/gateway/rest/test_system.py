import pytest

from mnedge import __version__
from mnedge.gateway.eligibility import Eligibility, decide
from mnedge.model.access import Scope
from mnedge.plugins.depot import Quarantine, Verdict, depot_of
from tests.gateway.backends import client
from tests.gateway.rest.bundles import over, submitted
from tests.plugins.test_depot import record as a_record


@pytest.mark.drives("GET /api/v1/health")
async def test_health_is_told_to_everybody_and_names_to_those_who_are_known(node):
    told = await node.get("/health")
    assert told == {
        "status": "ok",
        "component": "mnedge",
        "version": __version__,
        "node": node.rig.config.node,
        "problems": [],
    }
    async with client(node.backend, listener="http") as stranger:
        answer = await stranger.get("/api/v1/health")
        assert answer.status_code == 200
        assert answer.json()["node"] == ""
        head = await stranger.head("/api/v1/health")
        assert (head.status_code, head.content) == (200, b"")
        assert (await stranger.get("/api/v1/jobs")).status_code == 401


async def test_a_bad_disk_is_told_by_its_name(node):
    node.rig.store.conditions.failed("journal", "/data", OSError(28, "No space left on device"))
    told = await node.get("/health")
    assert told["status"] == "degraded"
    assert told["problems"][0]["name"] == "store.disk_full"
    ready = await node.get("/health/ready", 503)
    assert ready == {"ready": False, "reasons": ["store.disk_full"]}


@pytest.mark.drives("GET /api/v1/health/ready")
async def test_a_node_that_takes_no_new_work_is_not_ready_and_says_why(node):
    assert (await node.get("/health/ready"))["ready"]
    await decide(node.rig.store, Eligibility(maintenance=True, reason="new fan"))
    assert (await node.get("/health/ready", 503))["reasons"] == ["node.maintenance"]
    told = await node.post("/jobs", {"blueprint": "message_routing_trace"}, status=503)
    assert told["code"] == "node.closed"


@pytest.mark.drives("GET /api/v1/whoami")
async def test_a_caller_learns_who_it_is(node):
    told = await node.get("/whoami")
    assert told["kind"] == "unix"
    assert told["scope"] == "admin"
    issued = await node.backend.tokens.issue("ci", Scope.READ)
    async with client(node.backend, listener="http", token=issued.token) as reader:
        answer = (await reader.get("/api/v1/whoami")).json()
        assert (answer["name"], answer["scope"], answer["kind"]) == ("token:ci", "read", "token")
        refused = await reader.post("/api/v1/jobs", json={})
        assert refused.status_code == 403


@pytest.mark.drives("GET /api/v1/system/summary")
@pytest.mark.drives("GET /api/v1/nodes")
async def test_the_node_and_its_jobs_are_told(node):
    job_id = await submitted(node.api)
    await over(node.api, job_id)
    told = await node.get("/system/summary")
    assert told["metrics"]["jobs"]["completed"] == 1
    assert [row["job_id"] for row in told["jobs"]] == [job_id]
    [one] = (await node.get("/nodes"))["data"]
    assert one["name"] == told["nodes"][0]["name"] == f"mnedge@{node.rig.config.node}"
    assert one["executor_pools"]["default"]["capacity"] == 4


@pytest.mark.drives("GET /api/v1/resources")
async def test_what_the_machine_has_is_told(node):
    told = await node.get("/resources")
    assert told["totals"]["cpu_cores"] >= 1
    assert told["limits"]["cpu"] == 100
    assert told["pools"]["default"]["available"] == 4


@pytest.mark.drives("GET /api/v1/plugins")
async def test_plugins_from_outside_are_told_with_what_becomes_of_them(node):
    assert (await node.get("/plugins"))["data"] == []
    bad = Quarantine(reason="it hangs", stage="loop", at=0.0, program="1")
    with depot_of(node.rig.config.data_dir).changing() as records:
        records["acme"] = a_record(verdict=Verdict(key="", brings={"runners": ("acme",)}))
        records["bad"] = a_record("bad", quarantine=bad, allowed=True)
    acme, hung = (await node.get("/plugins"))["data"]
    assert (acme["state"], acme["brings"], acme["reason"]) == ("off", {"runners": ["acme"]}, None)
    assert (hung["state"], hung["reason"], hung["stage"]) == ("quarantined", "it hangs", "loop")


@pytest.mark.drives("GET /api/v1/metrics")
@pytest.mark.drives("GET /metrics")
async def test_figures_are_told_to_programs_and_to_prometheus(node):
    node.backend.metrics.counter("mnedge_test_total", "of this test").add(3)
    told = await node.get("/metrics")
    assert told["mnedge_test_total"]["samples"][0]["value"] == 3
    answer = await node.api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "mnedge_test_total 3" in answer.text
    async with client(node.backend, listener="http") as stranger:
        assert (await stranger.get("/metrics")).status_code == 401


@pytest.mark.drives("GET /.well-known/jwks.json")
async def test_the_keys_that_verify_tokens_are_public(node):
    await node.backend.tokens.issue("ci", Scope.READ)
    async with client(node.backend, listener="http") as stranger:
        answer = await stranger.get("/.well-known/jwks.json")
    assert answer.json() == node.backend.tokens.jwks()
    assert "d" not in answer.json()["keys"][0]


@pytest.mark.drives("GET /api/v1/manual")
@pytest.mark.drives("GET /api/v1/manual/{topic}")
async def test_the_manual_is_served(node):
    pages = (await node.get("/manual"))["data"]
    assert "cli" in [page["topic"] for page in pages]
    page = await node.get("/manual/cli")
    assert page["text"].startswith("#")
    assert (await node.get("/manual/nothing", 404))["code"] == "docs.not_found"
