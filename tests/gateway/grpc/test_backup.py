"""A paused job goes on elsewhere."""

import json

import pytest
import trio

from mnedge.model.facts import Completion, Structured
from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from tests.conftest import ROOT
from tests.gateway.grpc.wire import MANIFEST, V1, RefusedError, a_wire
from tests.runtime.rig import succeeded


def done(step_id):
    """Return work that completes a step."""

    async def work(command):
        await trio.lowlevel.checkpoint()
        return succeeded(
            structured=Structured(
                completions=[Completion(scope="step", value={"step": step_id})], events=[]
            )
        )

    return work


async def _paused(wire):
    """Submit a job whose worker waits, and pause it."""
    job_id = await wire.submit()
    await wire.over(job_id, JobStatus.RUNNING)
    await wire.unary(V1, "PauseJob", job_id=job_id)
    return job_id


@pytest.mark.drives(f"{V1}/ExportJobBackup")
@pytest.mark.drives(f"{V1}/RestoreJobBackup")
async def test_a_paused_job_is_exported_and_restored(tmp_path):
    gate = trio.Event()

    async def wait(command):
        await gate.wait()
        return succeeded()

    async with a_wire(tmp_path) as wire:
        wire.rig.executor.work["worker"] = wait
        job_id = await _paused(wire)
        found = await wire.unary(V1, "ExportJobBackup", job_id=job_id)
        backup = json.loads(found.backup_json)
        assert backup["schema_version"] == "mn.backup.v2"
        assert backup["runtime"]["job"]["status"] == "paused"
        assert backup["runtime"]["events"][0]["type"] == "job_pending"
        assert json.loads(found.bundle_files["manifest.json"])["graph_id"] == "under_test"
        restored = await wire.unary(
            V1,
            "RestoreJobBackup",
            backup_json=found.backup_json,
            bundle_files=dict(found.bundle_files),
            blueprint_id="under_test",
            run_id="restored-1",
        )
        shown = json.loads(restored.result_json)
        assert (shown["job_id"], shown["run_id"], shown["source_job_id"]) == (
            "restored-1",
            "restored-1",
            job_id,
        )
        assert shown["status"] == "paused"
        assert (await jobs.read_job(wire.backend.store, "restored-1")).status is JobStatus.PAUSED
        gate.set()
        await wire.unary(V1, "ResumeJob", job_id="restored-1")
        record = await wire.over("restored-1")
        assert record.submitted_by == "user:ada"
        assert ("user:ada", "job.restore", "job/restored-1", "allow") in await wire.audited()


async def test_a_restored_job_takes_over_the_steps_that_were_done(tmp_path):
    gate = trio.Event()

    async def wait(command):
        await gate.wait()
        return succeeded()

    folder = ROOT / "blueprints" / "meter_readout"
    config = json.loads((folder / "config" / "default.json").read_text())
    payloads = {
        path.relative_to(folder / "payloads").as_posix(): path.read_bytes()
        for path in (folder / "payloads").rglob("*")
        if path.is_file()
    }
    async with a_wire(tmp_path) as wire:
        work = wire.rig.executor.work
        work["wake_meter"] = done("wake_meter")
        work["read_meter"] = wait
        await wire.v2(
            "CreateJob",
            manifest_json=(folder / "manifest.json").read_text(),
            payloads=payloads,
            job_id="def-1",
            resolved_configuration_json=json.dumps(config),
        )
        await wire.v2("StartRun", job_id="def-1", run_id="run-1")
        with trio.fail_after(10):
            while "read_meter" not in {order.agent_id for order in wire.rig.executor.orders}:
                await trio.sleep(0.01)
        await wire.unary(V1, "PauseJob", job_id="run-1")
        found = await wire.unary(V1, "ExportJobBackup", job_id="run-1")
        wire.rig.executor.orders.clear()
        restored = await wire.unary(
            V1,
            "RestoreJobBackup",
            backup_json=found.backup_json,
            bundle_files=dict(found.bundle_files),
            blueprint_id="meter_readout",
        )
        shown = json.loads(restored.result_json)
        assert shown["steps_taken_over"] == ["wake_meter"]
        await wire.over(shown["job_id"], JobStatus.PAUSED)
        assert {order.agent_id for order in wire.rig.executor.orders} <= {"read_meter"}
        gate.set()


async def test_a_job_that_is_not_paused_is_not_exported(tmp_path):
    async with a_wire(tmp_path) as wire:
        job_id = await wire.submit()
        await wire.over(job_id)
        with pytest.raises(RefusedError, match="job is not paused") as raised:
            await wire.unary(V1, "ExportJobBackup", job_id=job_id)
        assert raised.value.status == 9


async def test_odd_backups_are_refused(tmp_path):
    good = json.dumps({"schema_version": "mn.backup.v2"})
    manifest = json.dumps(MANIFEST).encode()
    async with a_wire(tmp_path) as wire:
        for backup, files, words in (
            ("", {}, "is no mn.backup.v2"),
            (good, {}, "has no manifest.json"),
            (good, {"manifest.json": manifest, "../x": b""}, "unsafe paths"),
            (good, {"manifest.json": manifest, "/etc/x": b""}, "unsafe paths"),
            (good, {"manifest.json": manifest, "a": b"", "a/b": b""}, "cannot be written"),
            (good, {"manifest.json": b"{"}, "manifest.json"),
        ):
            with pytest.raises(RefusedError, match=words) as raised:
                await wire.unary(V1, "RestoreJobBackup", backup_json=backup, bundle_files=files)
            assert raised.value.status == 3
        assert await jobs.list_jobs(wire.backend.store) == []
