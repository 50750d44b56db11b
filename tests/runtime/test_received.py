import json
import os
import tempfile
from hashlib import sha256

import msgspec
import pytest

from mnedge.bundle.load import BundleUnreadableError
from mnedge.bundle.problem import BundleInvalidError
from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from mnedge.runtime.jobs import JobExistsError
from mnedge.runtime.received import IdInvalidError, checked_id, received, submit_received
from mnedge.runtime.submission import Origin
from mnedge.runtime.workplace import unpacked
from tests.conftest import ROOT
from tests.runtime.rig import EPOCH, a_config, a_rig
from tests.runtime.test_submission import RUNNERS

TRACE = ROOT / "blueprints" / "message_routing_trace"


def manifest_of(folder=TRACE):
    return json.loads((folder / "manifest.json").read_text())


def config_of(folder=TRACE):
    return json.loads((folder / "config" / "default.json").read_text())


def now():
    return EPOCH


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path, monkeypatch):
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield
    assert [name for name in os.listdir(place) if name.startswith("mnedge-received")] == []


async def submitted(rig, payloads=None, **more):
    more.setdefault("overrides", config_of())
    manifest = more.pop("manifest", None) or manifest_of()
    return await submit_received(
        rig.store, rig.config, manifest, payloads or {}, runners=RUNNERS, now=now, **more
    )


async def test_a_manifest_and_its_payloads_become_a_pending_job(tmp_path):
    payloads = {"a/b.txt": b"text", "empty/.gitkeep": b"", "run.sh": b"#!/bin/sh\n"}
    async with a_rig(tmp_path) as rig:
        record = await submitted(
            rig, payloads, job_id="mine-1", origin=Origin(submitted_by="token:ci")
        )
        assert (record.job_id, record.status) == ("mine-1", JobStatus.PENDING)
        assert record.submitted_by == "token:ci"
        assert await jobs.read_job(rig.store, "mine-1") == record
        root = await unpacked(
            record.bundle_digest, rig.store.blobs, rig.store.conditions, rig.config
        )
        below = root / "payloads"
        assert (below / "a" / "b.txt").read_bytes() == b"text"
        assert (below / "empty").is_dir()
        assert os.access(below / "run.sh", os.X_OK)
        assert not os.access(below / "a" / "b.txt", os.X_OK)


async def test_given_inputs_take_the_place_of_the_configured_ones(tmp_path):
    async with a_rig(tmp_path) as rig:
        record = await submitted(rig, inputs={"request": "other"})
        assert (await jobs.read_spec(rig.store, record.job_id)).inputs == {"request": "other"}


async def test_given_inputs_are_held_to_the_rules_of_the_bundle(tmp_path):
    async with a_rig(tmp_path) as rig:
        with pytest.raises(BundleInvalidError, match="the request is empty"):
            await submitted(rig, inputs={"request": ""})
        assert await jobs.list_jobs(rig.store) == []


async def test_every_unsafe_or_clashing_path_is_told_at_once_and_nothing_is_kept(tmp_path):
    bad = [
        "../out",
        "\ud800",
        "/etc/passwd",
        "a\\b",
        "x\x00y",
        "",
        "./",
        "d/" * 70 + "f",
        "n" * 300,
    ]
    payloads = dict.fromkeys([*bad, "file", "file/below", "twice", "./twice", "fine.txt"], b"")
    async with a_rig(tmp_path) as rig:
        with pytest.raises(BundleInvalidError) as caught:
            await submitted(rig, payloads)
        problems = caught.value.details["problems"]
        bad[bad.index("\ud800")] = "\\ud800"  # as it can be shown
        assert {problem["actual"] for problem in problems} == {*bad, "file", "./twice"}
        assert all(problem["rule"] == "B-08" for problem in problems)
        assert await jobs.list_jobs(rig.store) == []


async def test_what_is_wrong_with_the_manifest_is_told_and_nothing_is_kept(tmp_path):
    manifest = manifest_of()
    manifest["nodes"][0]["agent_type"] = "juggler"
    manifest["edges"][0]["to_node"] = "nobody"
    async with a_rig(tmp_path) as rig:
        with pytest.raises(BundleInvalidError) as caught:
            await submitted(rig, manifest=manifest)
        assert len([p for p in caught.value.details["problems"] if p["severity"] == "error"]) >= 2
        assert await jobs.list_jobs(rig.store) == []


@pytest.mark.parametrize("odd", [{}, {"nodes": "many"}, {"metadata": 3, "flow": []}])
async def test_a_document_that_is_no_manifest_is_refused(tmp_path, odd):
    async with a_rig(tmp_path) as rig:
        with pytest.raises(BundleInvalidError):
            await submitted(rig, manifest=odd, overrides={})


def nested(depth):
    made = {}
    for _ in range(depth):
        made = {"inner": made}
    return made


@pytest.mark.parametrize("odd", ["\ud800", nested(3000), object()])
async def test_what_json_cannot_say_is_refused_not_broken_on(tmp_path, odd):
    with pytest.raises(BundleInvalidError, match="cannot be kept as JSON"):
        async with received(a_config(tmp_path), {"nodes": [], "odd": odd}, {}):
            pass


async def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(BundleUnreadableError, match="cannot be written down") as caught:
        async with received(a_config(tmp_path), manifest_of(), {}):
            pass
    assert str(tmp_path / "gone") in caught.value.hint


async def test_an_id_is_kept_when_it_is_free_and_refused_when_it_is_taken(tmp_path):
    async with a_rig(tmp_path) as rig:
        await submitted(rig, job_id="mine")
        with pytest.raises(JobExistsError):
            await submitted(rig, job_id="mine")
        drawn = await submitted(rig, job_id="")
        assert drawn.job_id.startswith("message_routing_trace_v1-")


@pytest.mark.parametrize("bad", ["../x", "-x", ".x", "a b", "a/b", "x" * 129, "a:b", "ä", "a\n"])
async def test_an_id_that_names_no_folder_is_refused(tmp_path, bad):
    with pytest.raises(IdInvalidError):
        checked_id(bad)
    async with a_rig(tmp_path) as rig:
        with pytest.raises(IdInvalidError):
            await submitted(rig, job_id=bad)


def test_ids_that_clients_propose_are_taken():
    for good in ("message_routing_trace-8d2d8d92ce", "job_mrtv-ea39f743", "x" * 128, None, ""):
        checked_id(good)


def with_blob(content, path="model/weights.bin", digest=None):
    manifest = manifest_of()
    digest = digest or sha256(content).hexdigest()
    ref = {"type": "blob_ref", "sha256": digest, "payload_path": path, "size_bytes": len(content)}
    manifest["metadata"]["mn_artifacts"] = {"blob_refs": [ref]}
    return manifest, digest


def kept(home, digest, content):
    place = home / digest[:2] / digest
    place.parent.mkdir(parents=True)
    place.write_bytes(content)


async def test_a_large_payload_is_taken_from_the_clients_blobs_on_this_machine(tmp_path):
    manifest, digest = with_blob(b"weights")
    kept(tmp_path / "blobs", digest, b"weights")
    async with a_rig(tmp_path) as rig:
        record = await submitted(rig, manifest=manifest)
        root = await unpacked(
            record.bundle_digest, rig.store.blobs, rig.store.conditions, rig.config
        )
        assert (root / "payloads" / "model" / "weights.bin").read_bytes() == b"weights"


async def test_the_clients_own_home_and_a_named_store_are_looked_in_too(tmp_path):
    manifest, digest = with_blob(b"weights")
    kept(tmp_path / "client" / "blobs", digest, b"weights")
    manifest["metadata"]["mn_storage"] = {"host_root": str(tmp_path / "client" / "shared")}
    async with a_rig(tmp_path) as rig:
        assert await submitted(rig, manifest=manifest)
    del manifest["metadata"]["mn_storage"]
    config = msgspec.structs.replace(
        a_config(tmp_path), environ={"MN_HOST_BLOB_STORE_DIR": str(tmp_path / "client" / "blobs")}
    )
    async with received(config, manifest, {}) as bundle:
        assert bundle.files.read("payloads/model/weights.bin") == b"weights"


async def test_a_large_payload_that_is_nowhere_is_refused_and_the_error_says_where_it_looked(
    tmp_path,
):
    manifest, digest = with_blob(b"weights")
    async with a_rig(tmp_path) as rig:
        with pytest.raises(BundleInvalidError, match=str(tmp_path / "blobs")) as caught:
            await submitted(rig, manifest=manifest)
        assert digest in str(caught.value)
        assert "MN_INLINE_PAYLOAD_MAX_BYTES" in caught.value.hint


async def test_a_large_payload_that_is_not_what_its_hash_says_is_refused(tmp_path):
    manifest, digest = with_blob(b"weights")
    kept(tmp_path / "blobs", digest, b"others!")
    async with a_rig(tmp_path) as rig:
        with pytest.raises(BundleInvalidError, match="not what its hash says"):
            await submitted(rig, manifest=manifest)
        assert await jobs.list_jobs(rig.store) == []


async def test_a_large_payload_that_came_along_is_taken_as_it_came(tmp_path):
    manifest, _ = with_blob(b"weights")
    async with received(a_config(tmp_path), manifest, {"model/weights.bin": b"inline"}) as bundle:
        assert bundle.files.read("payloads/model/weights.bin") == b"inline"


async def test_a_blob_may_not_leave_the_bundle_either(tmp_path):
    manifest, digest = with_blob(b"weights", path="../../outside")
    kept(tmp_path / "blobs", digest, b"weights")
    with pytest.raises(BundleInvalidError, match=r"contains `\.\.`"):
        async with received(a_config(tmp_path), manifest, {}):
            pass
    assert not (tmp_path / "outside").exists()


async def test_inputs_that_the_client_staged_elsewhere_are_missed_at_once(tmp_path):
    manifest = manifest_of()
    staged = str(tmp_path / "not-here")
    manifest["metadata"]["mn_storage"] = {"inputs": {"folders": [{"runtime_path": staged}]}}
    with pytest.raises(
        BundleInvalidError, match="not-here that the client staged is not on this node"
    ):
        async with received(a_config(tmp_path), manifest, {}):
            pass


async def test_a_received_job_runs_to_its_end(tmp_path):
    async with a_rig(tmp_path) as rig, rig.host() as host:
        record = await submitted(rig, job_id="run-1", own=host.reserve)
        await host.start_job(record.job_id)
        assert (await host.finished(record.job_id)).status is JobStatus.COMPLETED
