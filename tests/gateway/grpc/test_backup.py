"""A paused job goes on elsewhere."""

import json

import pytest
import trio

from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from tests.gateway.grpc.wire import MANIFEST, V1, RefusedError, a_wire
from tests.runtime.rig import succeeded


async def _paused(wire, gate):
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
        job_id = await _paused(wire, gate)
        found = await wire.unary(V1, "ExportJobBackup", job_id=job_id)
        backup = json.loads(found.backup_json)
        assert backup["schema_version"] == "mn.backup.v2"
        assert backup["runtime"]["job"]["status"] == "paused"
        assert backup["runtime"]["events"][0]["type"] == "job_pending"
        assert json.loads(found.bundle_files["manifest.json"])["graph_id"] == "under_test"
        gate.set()
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
        record = await wire.over("restored-1")
        assert record.submitted_by == "user:ada"
        assert ("user:ada", "job.restore", "job/restored-1", "allow") in await wire.audited()


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
