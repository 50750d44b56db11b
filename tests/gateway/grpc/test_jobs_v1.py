"""Jobs, as older clients know them."""

import json

import pytest
import trio
from msgspec.structs import replace

from mnedge.gateway.client_shapes import REPLY_BYTES
from mnedge.gateway.eligibility import Eligibility, decide
from mnedge.model.access import Scope
from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from tests.gateway.grpc.wire import ADA, V1, RefusedError, a_wire
from tests.runtime.rig import gated, pipeline, submitted


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
        assert found["agents"][0]["metadata"]["outbound_edges"] == ["worker"]
        assert found["job"]["topology"] == found["job"]["runtime_topology"]
        assert found["job"]["topology"]["edges"][0]["to_node"] == "worker"
        assert found["recent_events"][0]["type"] == "run_completed"
        assert found["resource_usage"] == {}
        assert ("user:ada", "job.submit", f"job/{job_id}", "allow") in await wire.audited()


async def test_a_bad_manifest_is_refused_with_a_report(tmp_path):
    async with a_wire(tmp_path) as wire:
        with pytest.raises(RefusedError, match=r"input_validation_failed: \{") as raised:
            await wire.submit({"graph_id": "x"})
        assert raised.value.status == 3
        for text, words in (("", "is empty"), ("[", "no JSON"), ("[1]", "must hold a JSON object")):
            with pytest.raises(RefusedError, match=words):
                await wire.unary(V1, "SubmitJob", manifest_json=text)
        assert await jobs.list_jobs(wire.backend.store) == []
        assert (await wire.audited())[0][1::2] == ("job.submit", "error")


async def test_a_closed_node_takes_no_job(tmp_path):
    async with a_wire(tmp_path) as wire:
        await decide(wire.backend.store, Eligibility(maintenance=True, reason="new disk"))
        with pytest.raises(RefusedError, match="in maintenance: new disk") as raised:
            await wire.submit()
        assert raised.value.status == 14


async def test_who_may_only_read_submits_nothing(tmp_path):
    reader = type(ADA)(name="user:bob", scope=Scope.READ, kind="token")
    async with a_wire(tmp_path, reader) as wire:
        with pytest.raises(RefusedError, match="needs the scope operate") as raised:
            await wire.submit()
        assert raised.value.status == 7
        assert await jobs.list_jobs(wire.backend.store) == []
        assert await wire.audited() == [("user:bob", "job.submit", "job/", "deny")]
        await wire.unary(V1, "ListJobs")


@pytest.mark.drives(f"{V1}/ListJobs")
async def test_lists_show_the_newest_and_leave_out_what_is_over(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        for n in range(3):
            await submitted(wire.rig, pipeline(), f"over-{n}")
        await submitted(wire.rig, gated(), "waits")
        await trio.sleep(1)

        async def listed(**fields):
            return json.loads((await wire.unary(V1, "ListJobs", **fields)).jobs_json)["data"]

        assert [row["job_id"] for row in await listed()] == ["waits"]
        rows = await listed(include_terminal=True)
        assert {row["job_id"] for row in rows} == {"over-0", "over-1", "over-2", "waits"}
        assert {row["status"] for row in rows} == {"completed", "running"}
        assert len(await listed(include_terminal=True, limit=2)) == 2
        assert len(await listed(include_terminal=True, limit=2147483647)) == 4


@pytest.mark.drives(f"{V1}/PauseJob")
@pytest.mark.drives(f"{V1}/ResumeJob")
@pytest.mark.drives(f"{V1}/CancelJob")
async def test_a_job_is_paused_resumed_and_cancelled(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, gated())
        await trio.sleep(1)
        for method, status in (
            ("PauseJob", "paused"),
            ("ResumeJob", "running"),
            ("CancelJob", "cancelled"),
        ):
            found = await wire.unary(V1, method, job_id="job-1", version=1)
            assert (found.job_id, found.status, found.version) == ("job-1", status, 1)
            assert (await jobs.read_job(wire.backend.store, "job-1")).status == status
        with pytest.raises(RefusedError, match="already in a terminal state") as raised:
            await wire.unary(V1, "CancelJob", job_id="job-1")
        assert raised.value.status == 9
        with pytest.raises(RefusedError, match="no job is called") as raised:
            await wire.unary(V1, "CancelJob", job_id="nobody")
        assert raised.value.status == 5
        with pytest.raises(RefusedError, match="job_id is empty") as raised:
            await wire.unary(V1, "CancelJob")
        assert raised.value.status == 3
        actions = [(action, result) for _, action, _, result in await wire.audited()]
        assert actions[:3] == [
            ("job.pause", "allow"),
            ("job.resume", "allow"),
            ("job.cancel", "allow"),
        ]


@pytest.mark.drives(f"{V1}/CancelAllJobs")
@pytest.mark.drives(f"{V1}/ClearJobs")
async def test_all_jobs_are_cancelled_and_then_forgotten(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        for n in range(3):
            await submitted(wire.rig, gated(), f"job-{n}")
        await trio.sleep(1)
        found = json.loads((await wire.unary(V1, "CancelAllJobs")).result_json)
        assert found["cancelled_count"] == 3
        assert {one["status"] for one in found["data"]} == {"cancelled"}
        records = await jobs.list_jobs(wire.backend.store)
        assert {record.status for record in records} == {JobStatus.CANCELLED}


async def test_jobs_that_are_over_are_cleared(tmp_path):
    async with a_wire(tmp_path) as wire:
        over = await wire.submit()
        await wire.over(over)
        await submitted(wire.rig, gated(), "waits")
        await wire.over("waits", JobStatus.RUNNING)
        assert (await wire.unary(V1, "ClearJobs", version=1)).cleared_count == 1
        assert [one.job_id for one in await jobs.list_jobs(wire.backend.store)] == ["waits"]
        assert (wire.rig.config.runs_root / over / "run.json").exists()
        with pytest.raises(RefusedError, match="no job is called"):
            await wire.job(over)
        with pytest.raises(RefusedError, match="no job is called"):
            await wire.events(over)


async def test_a_job_too_large_for_one_message_is_shown_in_part(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, pipeline())
        await trio.sleep(1)
        record = await jobs.read_job(wire.backend.store, "job-1")
        await jobs.write_job(wire.backend.store, replace(record, result={"x": "y" * (5 << 20)}))
        found = await wire.unary(V1, "GetJob", job_id="job-1")
        assert len(found.job_json) < REPLY_BYTES
        shown = json.loads(found.job_json)
        assert "job.result" in shown["trimmed"]
        assert shown["job"]["status"] == "completed"
