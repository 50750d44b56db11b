"""What the memory store adds to its contracts: processes that perish, and disks that fail."""

from pathlib import Path

import pytest

from mnedge import faults
from mnedge.part import running
from mnedge.ports import Epoch
from mnedge.store.condition import DiskFullError
from mnedge.store.journal_rows import TornTail
from mnedge.store.memory import MemoryStore

EPOCH = Epoch(0, 1)


async def test_what_is_kept_outlives_the_part_and_is_seen_from_beside():
    store = MemoryStore()
    async with running(store):
        await store.table.put("a", b"x")
    other = store.beside("process-2")
    async with running(other):
        assert (await other.table.get("a")).value == b"x"
        assert await other.claims.claim("a") is not None
        assert await store.claims.claim("a") is None


async def test_what_a_perished_process_held_is_free():
    store = MemoryStore("one")
    other = store.beside("two")
    old = await store.claims.claim("job/j")
    await store.journal.append("j", old.epoch, 1, [b"x"])
    other.perish("one")
    new = await other.claims.claim("job/j")
    assert new.epoch > old.epoch
    assert await other.claims.holder("job/j") == "two"


async def test_a_watcher_beside_is_woken():
    store = MemoryStore()
    watch = aiter(store.beside("two").table.watch("a"))
    assert await anext(watch) == []
    await store.table.put("a", b"x")
    assert [row.key for row in await anext(watch)] == ["a"]


@pytest.mark.parametrize(
    "point,act",
    [
        ("journal.append.during", lambda s: s.journal.append("job", EPOCH, 1, [b"x"])),
        ("blob.put.before_rename", lambda s: s.blobs.put(b"x")),
    ],
)
async def test_an_injected_full_disk_keeps_nothing_and_has_a_name(point, act):
    store = MemoryStore(now=lambda: 3.0)
    with faults.armed(f"{point}:1:enospc"), pytest.raises(DiskFullError):
        await act(store)
    assert (store.condition.name, store.condition.since) == ("disk_full", 3.0)
    assert await store.journal.read("job") == []
    assert await store.blobs.list() == []
    await act(store)
    assert store.condition.name == "ok"


async def test_a_probe_lets_the_condition_go():
    store = MemoryStore()
    with faults.armed("journal.append.during:1:enospc"), pytest.raises(DiskFullError):
        await store.journal.append("job", EPOCH, 1, [b"x"])
    assert (await store.probe()).name == "ok"


async def test_a_torn_end_is_reported():
    store = MemoryStore()
    await store.journal.append("job", EPOCH, 1, [b"one", b"two", b"three"])
    store.journal.tear("job", 2)
    assert await store.journal.read("job") == [(1, b"one")]
    assert store.reports == [TornTail("job", 1, 2)]
    await store.journal.append("job", EPOCH, 2, [b"two again"])


async def test_blobs_are_listed_measured_and_forgotten():
    store = MemoryStore()
    digest = await store.blobs.put(b"content")
    path = Path(await store.blobs.path(digest))
    assert path.read_bytes() == b"content"
    assert [(e.digest, e.size_bytes) for e in await store.blobs.list()] == [(digest, 7)]
    assert await store.blobs.size_bytes() == 7
    await store.blobs.forget(digest)
    assert not await store.blobs.has(digest)
    del store
    assert not path.exists()
