from pathlib import Path

import pytest

from mnedge.bundle.load import open_bundle
from mnedge.engine.compile import compile_job
from mnedge.model.body import BlobRef, json_bytes
from mnedge.model.commands import CallModule
from mnedge.runtime import jobs
from mnedge.runtime.submission import submit, submit_spec
from mnedge.runtime.workplace import BUNDLES, Workplace
from tests.conftest import ROOT
from tests.runtime.rig import EPOCH, a_rig, now, pipeline
from tests.runtime.test_submission import RUNNERS


async def a_workplace(rig, record):
    spec = await jobs.read_spec(rig.store, record.job_id)
    return Workplace(
        record,
        spec,
        compile_job(spec),
        blobs=rig.store.blobs,
        conditions=rig.store.conditions,
        config=rig.config,
        work=rig.executor,
        clock=now,
    )


async def test_the_bundle_is_unpacked_once_under_its_digest(tmp_path):
    async with a_rig(tmp_path) as rig:
        with open_bundle(ROOT / "blueprints" / "text_report_pipeline") as bundle:
            record = await submit(rig.store, rig.config, bundle, runners=RUNNERS, now=lambda: EPOCH)
        root = rig.config.data_dir / BUNDLES / record.bundle_digest.removeprefix("sha256:")
        for _ in range(2):
            async with await a_workplace(rig, record):
                assert (root / "manifest.json").is_file()
                assert list(Path(root, "payloads").rglob("*.py"))


async def test_a_job_without_a_bundle_has_a_workplace_too(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        record = await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)
        async with await a_workplace(rig, record) as workplace:
            await workplace.sweep()
        assert rig.executor.swept == ["job-1"]
        assert not (rig.config.data_dir / BUNDLES).exists()


async def test_references_are_loaded_for_people(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        record = await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)
        content = json_bytes({"n": 1})
        ref = BlobRef(await rig.store.blobs.put(content), len(content))
        workplace = await a_workplace(rig, record)
        assert await workplace.plain({"body": ref, "list": [ref]}) == {
            "body": {"n": 1},
            "list": [{"n": 1}],
        }


async def test_a_closed_workplace_takes_no_calls(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        record = await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)
        workplace = await a_workplace(rig, record)
        call = CallModule(
            call_id="c", launch=1, agent_id="intake", message=None, invocation=1, state_version=0
        )
        with pytest.raises(RuntimeError, match="must be open"):
            await workplace.call(call, lambda note: None)
