"""Blobs on disk: complete before they are named, checked when read, put aside when damaged."""

import os
import stat

import pytest

from mnedge import faults
from mnedge.store.blobs import BlobDamagedError, BlobMissingError, FileBlobs, on_the_loop
from mnedge.store.claims import this_process
from mnedge.store.condition import Conditions, DiskFailingError, DiskFullError, ReadOnlyError
from mnedge.testing.blobs_contract import digest_of


@pytest.fixture
def conditions():
    return Conditions()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "blobs"


@pytest.fixture
def blobs(folder, conditions):
    blobs = FileBlobs(str(folder), conditions, on_the_loop)
    blobs.open()
    return blobs


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_a_blob_is_a_file_named_by_its_hash_for_this_user_alone(blobs, folder):
    digest = await blobs.put(b"content")
    digits = digest.removeprefix("sha256:")
    assert files_under(folder) == [f"{digits[:2]}/{digits[2:]}"]
    path = await blobs.path(digest)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


async def test_content_that_is_here_is_not_written_again(blobs):
    path = await blobs.path(await blobs.put(b"content"))
    before = os.stat(path)
    await blobs.put(b"content")
    after = os.stat(path)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_a_put_file_that_is_here_leaves_no_second_copy(blobs, folder, tmp_path):
    await blobs.put(b"content")
    (tmp_path / "copy").write_bytes(b"content")
    await blobs.put_file(str(tmp_path / "copy"))
    assert len(files_under(folder)) == 1


async def test_a_damaged_blob_is_refused_put_aside_and_can_be_put_again(blobs):
    digest = await blobs.put(b"content")
    path = await blobs.path(digest)
    with open(path, "r+b") as file:
        file.write(b"X")
    with pytest.raises(BlobDamagedError) as refused:
        await blobs.get(digest)
    assert refused.value.details["path"] in refused.value.hint
    assert not await blobs.has(digest)
    with pytest.raises(BlobMissingError):
        await blobs.get(digest)
    assert await blobs.put(b"content") == digest
    assert await blobs.get(digest) == b"content"


async def test_a_blob_cut_short_is_replaced_when_put_again(blobs):
    digest = await blobs.put(b"content")
    os.truncate(await blobs.path(digest), 3)
    await blobs.put(b"content")
    assert await blobs.get(digest) == b"content"


async def test_all_blobs_are_listed_measured_and_forgotten(blobs):
    contents = [b"one", b"two", b"three"]
    for content in contents:
        await blobs.put(content)
    entries = await blobs.list()
    assert [entry.digest for entry in entries] == sorted(map(digest_of, contents))
    assert sum(entry.size_bytes for entry in entries) == await blobs.size_bytes() == 11
    assert all(entry.kept_at > 0 for entry in entries)
    await blobs.forget(digest_of(b"two"))
    await blobs.forget(digest_of(b"two"))
    assert not await blobs.has(digest_of(b"two"))
    assert await blobs.size_bytes() == 8


async def test_a_failure_before_the_rename_leaves_no_trace(blobs, folder):
    with faults.armed("blob.put.before_rename:1:raise"), pytest.raises(faults.InjectedFaultError):
        await blobs.put(b"content")
    assert files_under(folder) == []


async def test_a_failure_after_the_rename_leaves_the_blob(blobs):
    with faults.armed("blob.put.after_rename:1:raise"), pytest.raises(faults.InjectedFaultError):
        await blobs.put(b"content")
    assert await blobs.get(digest_of(b"content")) == b"content"


async def test_a_full_disk_has_a_name_until_a_blob_fits_again(blobs, conditions, folder):
    with faults.armed("blob.put.before_rename:1:enospc"), pytest.raises(DiskFullError):
        await blobs.put(b"content")
    assert conditions.current.name == "disk_full"
    assert files_under(folder) == []
    await blobs.put(b"content")
    assert conditions.current.name == "ok"


async def test_a_probe_writes_and_leaves_nothing(blobs, conditions, folder):
    with faults.armed("blob.put.before_rename:1:enospc"), pytest.raises(DiskFullError):
        await blobs.put(b"content")
    blobs.probe()
    assert conditions.current.name == "ok"
    assert files_under(folder) == []


async def test_a_folder_that_cannot_be_made_says_so(tmp_path, conditions):
    (tmp_path / "file").write_text("")
    blobs = FileBlobs(str(tmp_path / "file" / "blobs"), conditions, on_the_loop)
    with pytest.raises(DiskFailingError, match="blobs"):
        blobs.open()


def test_only_what_dead_processes_left_unfinished_is_removed(folder, conditions):
    blobs = FileBlobs(str(folder), conditions, on_the_loop)
    blobs.open()
    living, dead = str(this_process()), str(this_process()._replace(start="1"))
    for name in (f"{living}:1", f"{dead}:1", "something else"):
        (folder / "unfinished" / name).write_bytes(b"half")
    blobs.open()
    assert files_under(folder) == [f"unfinished/{living}:1"]


@pytest.mark.usefixtures("blobs")
async def test_a_file_that_is_not_there_cannot_be_put(blobs, tmp_path):
    with pytest.raises(FileNotFoundError):
        await blobs.put_file(str(tmp_path / "nowhere"))


def test_a_read_only_folder_has_a_name(blobs, conditions, monkeypatch):
    def refuse(*_args, **_options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("mnedge.store.blobs._write", refuse)
    with pytest.raises(ReadOnlyError):
        blobs.probe()
    assert conditions.current.name == "read_only"


async def test_content_is_on_the_disk_before_its_name_and_its_name_before_the_answer(
    blobs, folder, monkeypatch
):
    steps = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        steps.append(("fsync", os.path.relpath(path, folder)))
        fsync(descriptor)

    def note_replace(old, new):
        steps.append(("rename", os.path.relpath(new, folder)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    digits = (await blobs.put(b"content")).removeprefix("sha256:")
    (first, written), *rest = steps
    assert first == "fsync"
    assert written.startswith("unfinished/")
    assert (
        rest
        == [
            ("fsync", "."),  # the new shard's own name
            ("rename", f"{digits[:2]}/{digits[2:]}"),
            ("fsync", digits[:2]),
        ]
    )
