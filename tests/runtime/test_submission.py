import socket

import msgspec
import pytest

from mnedge.bundle.context_engine import ContextEngineUnavailableError
from mnedge.bundle.load import open_bundle
from mnedge.bundle.problem import BundleInvalidError
from mnedge.engine.compile import CURRENT_REVISION
from mnedge.errors import MnedgeError
from mnedge.faults import InjectedFaultError, armed
from mnedge.model.body import INLINE_LIMIT_BYTES, BlobRef
from mnedge.model.ids import is_run_id
from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from mnedge.runtime.submission import new_job_id, submit, submit_spec
from mnedge.store.trial import TrialMark, clear_mark, set_mark
from tests.conftest import ROOT
from tests.runtime.rig import EPOCH, a_rig, now, pipeline


def a_bundle(name="message_routing_trace"):
    return open_bundle(ROOT / "blueprints" / name)


class AlwaysThere:
    name = "host_local"
    modules = ("MirrorNeuron.Runner.HostLocal",)
    isolation = "process"

    def available(self):
        return None


RUNNERS = {name: AlwaysThere() for name in ("host_local", "MirrorNeuron.Runner.HostLocal")}


async def test_a_bundle_becomes_a_pending_job_with_its_blob_and_its_spec(tmp_path):
    async with a_rig(tmp_path) as rig:
        with a_bundle() as bundle:
            record = await submit(rig.store, rig.config, bundle, runners=RUNNERS, now=lambda: EPOCH)
        assert record.status is JobStatus.PENDING
        assert record.job_id.startswith("message_routing_trace_v1-1700000000000-")
        assert record.agents == 3
        assert await rig.store.blobs.has(record.bundle_digest)
        assert await jobs.read_job(rig.store, record.job_id) == record
        assert (await jobs.read_spec(rig.store, record.job_id)).graph_id == record.graph_id


async def test_what_cannot_run_here_is_refused_and_nothing_is_kept(tmp_path):
    async with a_rig(tmp_path) as rig:
        with (
            a_bundle("text_report_pipeline") as bundle,
            pytest.raises(BundleInvalidError) as caught,
        ):
            await submit(rig.store, rig.config, bundle, runners={}, now=lambda: EPOCH)
        assert "X-01" in str(caught.value.details)
        assert await jobs.list_jobs(rig.store) == []


async def test_a_job_is_refused_where_no_run_folder_can_be_written(tmp_path):
    async with a_rig(tmp_path) as rig:
        rig.config.runs_root.write_text("a file in the place of the folder")
        with a_bundle() as bundle, pytest.raises(MnedgeError, match=str(rig.config.runs_root)):
            await submit(rig.store, rig.config, bundle, runners=RUNNERS, now=lambda: EPOCH)
        assert await jobs.list_jobs(rig.store) == []


async def test_a_job_that_needs_the_context_engine_is_refused_without_it(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    async with a_rig(tmp_path) as rig:
        config = msgspec.structs.replace(rig.config, environ={"CONTEXT_ENGINE_ADDR": address})
        with a_bundle() as bundle:
            bundle.spec = msgspec.structs.replace(bundle.spec, required_context_engine=True)
            with pytest.raises(ContextEngineUnavailableError, match=address):
                await submit(rig.store, config, bundle, runners=RUNNERS, now=lambda: EPOCH)
        assert await jobs.list_jobs(rig.store) == []


async def test_a_large_seed_goes_to_the_blob_store(tmp_path, autojump_clock):
    spec = msgspec.structs.replace(
        pipeline(), seeds={"intake": [{"text": "x" * INLINE_LIMIT_BYTES}, {"text": "small"}]}
    )
    async with a_rig(tmp_path) as rig:
        await submit_spec(rig.store, rig.config, spec, job_id="job-1", now=now)
        large, small = (await jobs.read_spec(rig.store, "job-1")).seeds["intake"]
        assert isinstance(large, BlobRef)
        assert await rig.store.blobs.has(large.digest)
        assert small == {"text": "small"}


async def test_a_large_seed_keeps_its_envelope(tmp_path, autojump_clock):
    seed = {"content_type": "text/plain", "body": "x" * 2 * INLINE_LIMIT_BYTES}
    spec = msgspec.structs.replace(pipeline(), seeds={"intake": [seed]})
    async with a_rig(tmp_path) as rig, rig.host() as host:
        await submit_spec(rig.store, rig.config, spec, job_id="job-1", now=now)
        await host.start_job("job-1")
        await host.finished("job-1")
    [order] = rig.executor.orders
    assert order.message.content_type == "text/plain"
    assert isinstance(order.message.body, BlobRef)
    assert order.message.body.encoding == "text"


async def test_a_large_spec_lies_among_the_blobs(tmp_path, autojump_clock):
    spec = msgspec.structs.replace(pipeline(), config={"text": "x" * INLINE_LIMIT_BYTES})
    async with a_rig(tmp_path) as rig:
        await submit_spec(rig.store, rig.config, spec, job_id="job-1", now=now)
        row = await rig.store.table.get("spec/job-1")
        assert len(row.value) < 200
        assert await jobs.read_spec(rig.store, "job-1") == spec


def test_job_ids_differ_and_may_name_a_folder():
    ids = {new_job_id("../Ünsafe name", lambda: EPOCH) for _ in range(50)}
    assert len(ids) == 50
    assert all(is_run_id(job_id) for job_id in ids)


async def test_an_id_is_given_to_one_job(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)
        with pytest.raises(jobs.JobExistsError, match="job-1"):
            await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)


async def test_a_job_is_kept_whole_or_not_at_all(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        with armed("table.put.after:1:raise"), pytest.raises(InjectedFaultError):
            await submit_spec(rig.store, rig.config, pipeline(), job_id="job-1", now=now)
        assert await jobs.open_jobs(rig.store) == ["job-1"]  # by the first write it is complete
        assert (await jobs.read_job(rig.store, "job-1")).status == "pending"
        assert await jobs.read_spec(rig.store, "job-1") == pipeline()


async def test_a_job_is_owned_before_it_can_be_seen(tmp_path):
    seen = []
    async with a_rig(tmp_path) as rig:

        async def own(job_id):
            seen.append((job_id, await rig.store.table.get(jobs.JOBS + job_id)))

        with a_bundle() as bundle:
            record = await submit(
                rig.store, rig.config, bundle, runners=RUNNERS, now=lambda: EPOCH, own=own
            )
    assert seen == [(record.job_id, None)]


async def test_a_job_made_while_an_update_is_on_trial_is_one_the_old_program_can_run(tmp_path):
    async with a_rig(tmp_path) as rig:
        set_mark(rig.config.data_dir, TrialMark(schema=1, engine_revision=1))
        made = await submit_spec(
            rig.store, rig.config, pipeline(), job_id=new_job_id("a", now), now=now
        )
        clear_mark(rig.config.data_dir)
        later = await submit_spec(
            rig.store, rig.config, pipeline(), job_id=new_job_id("a", now), now=now
        )
    assert made.engine_revision == 1
    assert later.engine_revision == CURRENT_REVISION
