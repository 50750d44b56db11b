"""Definitions and their runs."""

import json

import pytest
import trio

from mnedge.gateway.eligibility import Eligibility, decide
from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from tests.gateway.grpc.wire import MANIFEST, V2, RefusedError, a_wire
from tests.runtime.rig import gated, submitted

TEXT = json.dumps(MANIFEST)


async def made(wire, **fields):
    fields = {"manifest_json": TEXT, "job_id": "job_x-1", **fields}
    return await wire.v2("CreateJob", **fields)


@pytest.mark.drives(f"{V2}/CreateJob")
@pytest.mark.drives(f"{V2}/GetJob")
@pytest.mark.drives(f"{V2}/ListJobs")
async def test_a_definition_is_made_and_shown(tmp_path):
    async with a_wire(tmp_path) as wire:
        found = await made(
            wire,
            payloads={"worker/w.py": b"print()"},
            resolved_configuration_json='{"a": 1}',
            storage_json='{"submission_path": "/x"}',
        )
        assert found["job_id"] == "job_x-1"
        kept = await wire.backend.definitions.get("job_x-1")
        assert (kept.configuration, kept.created_by) == ({"a": 1}, "user:ada")
        shown = await wire.v2("GetJob", job_id="job_x-1")
        assert (shown["status"], shown["storage"]) == ("active", {"submission_path": "/x"})
        assert (await made(wire, job_id=""))["job_id"].startswith("under_test")
        assert len((await wire.v2("ListJobs"))["data"]) == 2
        assert ("user:ada", "definition.create", "definition/job_x-1", "allow") in (
            await wire.audited()
        )
        with pytest.raises(RefusedError, match="already") as raised:
            await made(wire)
        assert raised.value.status == 6
        with pytest.raises(RefusedError, match="cannot be an id") as raised:
            await made(wire, job_id="../x")
        assert raised.value.status == 3
        with pytest.raises(RefusedError) as raised:
            await wire.v2("GetJob", job_id="nobody")
        assert raised.value.status == 5


@pytest.mark.drives(f"{V2}/StartRun")
@pytest.mark.drives(f"{V2}/ListRuns")
@pytest.mark.drives(f"{V2}/GetRun")
async def test_runs_of_a_definition_are_started_and_shown(tmp_path):
    async with a_wire(tmp_path) as wire:
        await made(wire)
        run = await wire.v2("StartRun", job_id="job_x-1", run_id="run-1", inputs_json="{}")
        assert (run["run_id"], run["job_id"]) == ("run-1", "job_x-1")
        record = await wire.over("run-1")
        assert record.definition_id == "job_x-1"
        other = await wire.v2("StartRun", job_id="job_x-1")
        await wire.over(other["run_id"])
        rows = (await wire.v2("ListRuns", job_id="job_x-1"))["data"]
        assert {row["run_id"] for row in rows} == {"run-1", other["run_id"]}
        shown = await wire.v2("GetRun", run_id="run-1")
        assert (shown["run_id"], shown["job_id"], shown["status"]) == (
            "run-1",
            "job_x-1",
            "completed",
        )
        assert shown["job"]["job_id"] == "run-1"
        assert shown["recent_events"]
        with pytest.raises(RefusedError) as raised:
            await wire.v2("StartRun", job_id="job_x-1", run_id="run-1")
        assert raised.value.status == 6
        await decide(wire.backend.store, Eligibility(draining=True))
        with pytest.raises(RefusedError, match="being emptied"):
            await wire.v2("StartRun", job_id="job_x-1")


@pytest.mark.drives(f"{V2}/UpdateJob")
@pytest.mark.drives(f"{V2}/ArchiveJob")
@pytest.mark.drives(f"{V2}/ResetJobData")
@pytest.mark.drives(f"{V2}/DeleteJob")
async def test_a_definition_is_changed_archived_and_deleted(tmp_path):
    async with a_wire(tmp_path) as wire:
        await made(wire)
        other = json.dumps({**MANIFEST, "job_name": "renamed"})
        changed = await wire.v2(
            "UpdateJob",
            job_id="job_x-1",
            manifest_json=other,
            attrs_json='{"resolved_configuration": {"b": 2}, "storage": {"c": 3}}',
        )
        assert (changed["job_name"], changed["version"]) == ("renamed", 2)
        kept = await wire.backend.definitions.get("job_x-1")
        assert (kept.configuration, kept.storage) == ({"b": 2}, {"c": 3})
        with pytest.raises(RefusedError, match="must be an object"):
            await wire.v2("UpdateJob", job_id="job_x-1", attrs_json='{"storage": 1}')
        assert (await wire.v2("ResetJobData", job_id="job_x-1"))["data_generation"] == 2
        assert (await wire.v2("ArchiveJob", job_id="job_x-1"))["status"] == "archived"
        assert (await wire.v2("ListJobs"))["data"] == []
        assert len((await wire.v2("ListJobs", include_archived=True))["data"]) == 1
        with pytest.raises(RefusedError, match="is archived") as raised:
            await wire.v2("StartRun", job_id="job_x-1")
        assert raised.value.status == 9
        with pytest.raises(RefusedError, match="confirmation"):
            await wire.v2("DeleteJob", job_id="job_x-1")
        gone = await wire.v2("DeleteJob", job_id="job_x-1", confirmed=True)
        assert gone["retired_definition_resources"]["metadata"] == {"mn_storage": {"c": 3}}
        assert await wire.backend.definitions.every(include_archived=True) == []


@pytest.mark.drives(f"{V2}/PauseRun")
@pytest.mark.drives(f"{V2}/ResumeRun")
@pytest.mark.drives(f"{V2}/CancelRun")
@pytest.mark.drives(f"{V2}/DeleteRun")
async def test_a_run_is_steered_and_deleted(tmp_path):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, gated(), "run-1")
        await wire.over("run-1", JobStatus.RUNNING)
        with pytest.raises(RefusedError, match="not over") as raised:
            await wire.v2("DeleteRun", run_id="run-1", confirmed=True)
        assert raised.value.status == 9
        for method, status in (
            ("PauseRun", "paused"),
            ("ResumeRun", "running"),
            ("CancelRun", "cancelled"),
        ):
            assert (await wire.v2(method, run_id="run-1"))["status"] == status
            assert (await jobs.read_job(wire.backend.store, "run-1")).status == status
        with pytest.raises(RefusedError, match="confirmation"):
            await wire.v2("DeleteRun", run_id="run-1")
        assert (await wire.v2("DeleteRun", run_id="run-1", confirmed=True))["deleted"] is True
        assert await jobs.list_jobs(wire.backend.store) == []
        assert await wire.backend.store.journal.read("run-1") == []


@pytest.mark.drives(f"{V2}/SendRunInput")
async def test_an_answer_is_taken_once_for_each_key(tmp_path, autojump_clock):
    async with a_wire(tmp_path) as wire:
        await submitted(wire.rig, gated(), "run-1")
        await trio.sleep(1)
        answer = {
            "run_id": "run-1",
            "payload_json": '{"approved": true}',
            "idempotency_key": "key-1",
        }
        for payload, words in (("{}", "holds no decision"), ('{"decision": "dance"}', "no decis")):
            with pytest.raises(RefusedError, match=words) as raised:
                await wire.v2("SendRunInput", **{**answer, "payload_json": payload})
            assert raised.value.status == 3
        with pytest.raises(RefusedError, match="idempotency_key is empty"):
            await wire.v2("SendRunInput", **{**answer, "idempotency_key": ""})
        found = await wire.v2("SendRunInput", **answer)
        assert (found["decision"], found["accepted"]) == ("approve", True)
        await trio.sleep(1)
        record = await jobs.read_job(wire.backend.store, "run-1")
        assert record.waiting_for_human == 0
        assert await wire.v2("SendRunInput", **answer) == found
        with pytest.raises(RefusedError, match="came before") as raised:
            await wire.v2("SendRunInput", **{**answer, "payload_json": '{"approved": false}'})
        assert raised.value.status == 9


@pytest.mark.drives(f"{V2}/CreateJobSchedule")
async def test_schedules_are_not_offered(tmp_path):
    async with a_wire(tmp_path) as wire:
        with pytest.raises(RefusedError, match="CreateJobSchedule is not offered") as raised:
            await wire.v2("CreateJobSchedule", job_id="x")
        assert raised.value.status == 12
