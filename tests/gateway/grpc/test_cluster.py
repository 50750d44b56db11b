"""The node as its clients see it."""

import json

import pytest
import trio
from msgspec.structs import replace

from mnedge.gateway.eligibility import eligibility
from mnedge.gateway.machine import limits
from mnedge.model.access import Scope
from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from tests.gateway.grpc.wire import ADA, CLUSTER, RefusedError, a_wire
from tests.runtime.rig import gated, pipeline, submitted

NODE = "mnedge@localhost"


@pytest.mark.drives(f"{CLUSTER}/GetSystemSummary")
async def test_the_summary_shows_this_node_and_its_jobs(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, gated())
        await trio.sleep(1)
        found = await wire.cluster("GetSystemSummary")
        (node,) = found["nodes"]
        assert (node["name"], node["self?"], node["status"]) == (NODE, True, "healthy")
        assert node["scheduling_eligible"] is True
        assert node["executor_pools"]["default"]["capacity"] == 4
        assert node["hardware"]["cpu"]["cores"] >= 1
        store = node["coordination_store"]
        assert (store["healthy"], store["writable_primary"]) == (True, True)
        assert len(store["identity"]) == 32
        again = await wire.cluster("GetSystemSummary")
        assert again["nodes"][0]["coordination_store"] == store
        assert [(one["job_id"], one["status"]) for one in found["jobs"]] == [("job-1", "running")]
        assert found["metrics"]["jobs"]["active"] == 1


@pytest.mark.drives(f"{CLUSTER}/GetResource")
@pytest.mark.drives(f"{CLUSTER}/SetResource")
@pytest.mark.drives(f"{CLUSTER}/GetRuntimeStatuses")
async def test_limits_are_kept_and_shown(tmp_path):
    async with a_wire(tmp_path) as wire:
        found = await wire.cluster("GetResource")
        assert found["limits"] == {"cpu": 100, "gpu": 100, "memory": 100, "disk": 100}
        assert found["nodes"][0]["name"] == NODE
        changed = await wire.cluster("SetResource", resource_json='{"cpu": 50, "memory": 25.0}')
        assert changed["status"] == "updated"
        assert changed["usable"]["cpu_cores"] == changed["totals"]["cpu_cores"] / 2
        assert (await limits(wire.backend.store))["memory"] == 25
        for odd in ('{"cpu": 0}', '{"cpu": true}', '{"cpu": "much"}', '{"colour": 1}'):
            with pytest.raises(RefusedError, match="percentages") as raised:
                await wire.cluster("SetResource", resource_json=odd)
            assert raised.value.status == 3
        assert (await wire.cluster("GetRuntimeStatuses"))["events"] == []


@pytest.mark.drives(f"{CLUSTER}/SetNodeMaintenance")
@pytest.mark.drives(f"{CLUSTER}/CancelNodeDrain")
async def test_maintenance_closes_the_node_and_opens_it(tmp_path):
    async with a_wire(tmp_path) as wire:
        shown = await wire.cluster(
            "SetNodeMaintenance", node_name=NODE, enabled=True, reason="new disk"
        )
        assert (shown["status"], shown["scheduling_eligible"]) == ("maintenance", False)
        assert not (await eligibility(wire.backend.store)).open
        with pytest.raises(RefusedError, match="new disk"):
            await wire.submit()
        shown = await wire.cluster("SetNodeMaintenance", node_name="localhost", enabled=False)
        assert shown["scheduling_eligible"] is True
        await wire.cluster("SetNodeMaintenance", node_name=NODE, enabled=True)
        shown = await wire.cluster("CancelNodeDrain", node_name=NODE)
        assert shown["status"] == "maintenance"
        shown = await wire.cluster("CancelNodeDrain", node_name=NODE, mark_eligible=True)
        assert (await eligibility(wire.backend.store)).open
        assert shown["status"] == "healthy"
        with pytest.raises(RefusedError, match="no node is called 'other'") as raised:
            await wire.cluster("SetNodeMaintenance", node_name="other", enabled=True)
        assert raised.value.status == 5
        actions = {(action, what) for _, action, what, _ in await wire.audited()}
        assert ("node.maintenance", f"node/{NODE}") in actions


@pytest.mark.drives(f"{CLUSTER}/DrainNode")
@pytest.mark.drives(f"{CLUSTER}/GetNodeDrainStatus")
@pytest.mark.drives(f"{CLUSTER}/ReconcileNode")
async def test_a_node_is_emptied_as_its_jobs_end(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, gated())
        await trio.sleep(1)
        dry = await wire.cluster("DrainNode", node_name=NODE, dry_run=True)
        assert (dry["drain"], dry["scheduling_eligible"]) == (
            {"status": "dry_run", "jobs": ["job-1"]},
            True,
        )
        shown = await wire.cluster("DrainNode", node_name=NODE, deadline_ms=60_000)
        assert shown["operation"]["status"] in ("running", "deferred")
        await trio.sleep(1)
        found = await wire.cluster("GetNodeDrainStatus", node_name=NODE)
        assert (found["status"], found["drain"]) == ("draining", {"status": "draining"})
        await wire.unary("mirrorneuron.job.v1.JobService", "CancelJob", job_id="job-1")
        await trio.sleep(5)
        found = await wire.cluster("GetNodeDrainStatus", node_name=NODE)
        assert found["drain"] == {"status": "complete"}
        assert found["operation"]["status"] == "completed"
        again = await wire.cluster("ReconcileNode", node_name=NODE)
        assert again["operation"]["counters"]["failed"] == 0


async def test_a_node_whose_jobs_do_not_end_stays_full(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, gated())
        await trio.sleep(1)
        shown = await wire.cluster("DrainNode", node_name=NODE, deadline_ms=5_000, wait=True)
        assert shown["drain"] == {"status": "blocked_no_placement"}
        assert shown["operation"]["status"] == "completed_with_failures"
        record = await jobs.read_job(wire.backend.store, "job-1")
        assert record.status is JobStatus.RUNNING


@pytest.mark.parametrize("method", ["NetworkHandshake", "AddNode", "RemoveNode"])
@pytest.mark.drives(f"{CLUSTER}/NetworkHandshake")
@pytest.mark.drives(f"{CLUSTER}/AddNode")
@pytest.mark.drives(f"{CLUSTER}/RemoveNode")
async def test_a_node_alone_joins_nobody(tmp_path, method):
    async with a_wire(tmp_path) as wire:
        with pytest.raises(RefusedError, match="belongs to no cluster") as raised:
            await wire.unary(CLUSTER, method, node_name=NODE)
        assert raised.value.status == 9


async def test_a_handshake_needs_no_token_and_the_rest_does(tmp_path):
    async with a_wire(tmp_path, None) as wire:
        with pytest.raises(RefusedError, match="belongs to no cluster"):
            await wire.unary(CLUSTER, "NetworkHandshake", token="x")
        for method in ("GetSystemSummary", "SetNodeMaintenance", "PrepareRuntimeModel"):
            with pytest.raises(RefusedError) as raised:
                await wire.unary(CLUSTER, method)
            assert raised.value.status == 16


async def test_adding_nodes_takes_an_admin(tmp_path):
    async with a_wire(tmp_path, type(ADA)(name="b", scope=Scope.OPERATE, kind="token")) as wire:
        with pytest.raises(RefusedError) as raised:
            await wire.unary(CLUSTER, "AddNode", node_name="x")
        assert raised.value.status == 7


@pytest.mark.drives(f"{CLUSTER}/ListServices")
@pytest.mark.drives(f"{CLUSTER}/ResolveService")
@pytest.mark.drives(f"{CLUSTER}/CheckServices")
async def test_services_are_what_running_jobs_declare(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        services = [
            {"name": "api", "port": 8080, "tags": ["v1"]},
            {"name": "db", "port": 5432, "checks": [{"name": "tcp", "type": "tcp"}]},
        ]
        await submitted(wire.rig, pipeline(services=services), "over")
        waiting = replace(gated(), services=services)
        await submitted(wire.rig, waiting, "waits")
        await trio.sleep(1)
        found = (await wire.cluster("ListServices"))["services"]
        assert [(one["name"], one["job_id"], one["status"]) for one in found] == [
            ("api", "waits", "passing"),
            ("db", "waits", "warning"),
        ]
        for query, names in (
            ({"tags": ["v1"]}, ["api"]),
            ({"passing_only": True}, ["api"]),
            ({"job_id": "over"}, []),
            ({"node": NODE, "name": "db"}, ["db"]),
        ):
            found = await wire.cluster("ListServices", query_json=json.dumps(query))
            assert [one["name"] for one in found["services"]] == names
        found = await wire.cluster("ResolveService", name="api")
        assert [(one["address"], one["port"]) for one in found["services"]] == [("127.0.0.1", 8080)]
        assert (await wire.cluster("ResolveService", name="nobody"))["services"] == []
        checked = await wire.cluster("CheckServices", services_json='["api", {"name": "db"}]')
        assert [one["ok"] for one in checked["results"]] == [True, False]
        assert checked["ok"] is False


@pytest.mark.parametrize(
    "method",
    [
        "PublishRuntimeStatus",
        "AckRuntimeStatusEvents",
        "SyncLiteLLMGateway",
        "RemoveLiteLLMGatewayRoute",
        "PrepareRuntimeModel",
        "PrepareDockerWorker",
        "CleanupDockerWorker",
    ],
)
@pytest.mark.drives(f"{CLUSTER}/PublishRuntimeStatus")
@pytest.mark.drives(f"{CLUSTER}/AckRuntimeStatusEvents")
@pytest.mark.drives(f"{CLUSTER}/SyncLiteLLMGateway")
@pytest.mark.drives(f"{CLUSTER}/RemoveLiteLLMGatewayRoute")
@pytest.mark.drives(f"{CLUSTER}/PrepareRuntimeModel")
@pytest.mark.drives(f"{CLUSTER}/PrepareDockerWorker")
@pytest.mark.drives(f"{CLUSTER}/CleanupDockerWorker")
async def test_what_the_node_lacks_is_said_by_name(tmp_path, method):
    async with a_wire(tmp_path) as wire:
        with pytest.raises(RefusedError, match=f"{method} is not offered by this node") as raised:
            await wire.unary(CLUSTER, method)
        assert raised.value.status == 12
