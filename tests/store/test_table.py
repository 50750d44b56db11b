"""Watching, and prefixes as ranges; what every table keeps to stands in tests/contracts."""

import gc

import pytest
import trio

from mnedge import faults
from mnedge.errors import ConflictError
from mnedge.ports import Row
from mnedge.store.table import Watchers, past


@pytest.mark.parametrize(
    "prefix,end",
    [
        ("job/", "job0"),
        ("a", "b"),
        ("a\ud7ff", "a\ue000"),
        ("a\U0010ffff", "b"),
        ("\U0010ffff", b""),
        ("", b""),
    ],
)
def test_a_prefix_ends_before_the_next_text(prefix, end):
    assert past(prefix) == end


async def test_only_those_who_watch_the_key_are_rung():
    watchers = Watchers()
    jobs, asks = watchers.watching("job/"), watchers.watching("ask/")
    watchers.notify(["job/1", "x"])
    await jobs.wait()
    with trio.move_on_after(0) as scope:
        await asks.wait()
    assert scope.cancelled_caught
    watchers.notify(None)
    await jobs.wait()
    await asks.wait()


async def test_who_is_dropped_watches_no_longer(autojump_clock):
    watchers = Watchers()
    assert not watchers.some
    rung = watchers.watching("job/")
    assert watchers.some
    await watchers.any_watching()
    del rung
    gc.collect()
    assert not watchers.some
    with trio.move_on_after(1) as scope:
        await watchers.any_watching()
    assert scope.cancelled_caught


async def test_a_watch_that_is_left_early_leaves_nothing_behind(inline_store):
    async for _ in inline_store.table.watch("job/"):
        break
    gc.collect()
    assert not inline_store._watchers.some


async def test_a_change_elsewhere_in_the_table_wakes_a_watcher_for_nothing(
    inline_store, autojump_clock
):
    watch = aiter(inline_store.table.watch("ask/"))
    assert await anext(watch) == []
    await inline_store.table.put("job/1", b"x")
    inline_store._watchers.notify(None)
    with trio.move_on_after(1) as scope:
        await anext(watch)
    assert scope.cancelled_caught


async def test_writes_that_pile_up_come_in_one_batch_in_the_order_of_writing(inline_store):
    watch = aiter(inline_store.table.watch("ask/"))
    await anext(watch)
    for key in ("ask/b", "ask/a", "ask/c", "ask/b"):
        await inline_store.table.put(key, key.encode())
    assert await anext(watch) == [
        Row("ask/a", b"ask/a", 1),
        Row("ask/c", b"ask/c", 1),
        Row("ask/b", b"ask/b", 2),
    ]


async def test_deleting_the_newest_row_does_not_hide_the_next_write(inline_store):
    watch = aiter(inline_store.table.watch("ask/"))
    await inline_store.table.put("ask/1", b"x")
    assert len(await anext(watch)) == 1
    await inline_store.table.delete("ask/1")
    await inline_store.table.put("ask/2", b"y")
    assert await anext(watch) == [Row("ask/2", b"y", 1)]


async def test_a_changed_row_is_explained(inline_store):
    await inline_store.table.put("a", b"x")
    with pytest.raises(ConflictError, match="has version 1, not 5") as refused:
        await inline_store.table.put("a", b"y", if_version=5)
    assert refused.value.code == "table.row_changed"
    assert refused.value.details == {"key": "a", "wanted": 5, "found": 1}


async def test_a_failure_after_the_row_was_written_leaves_it_written(inline_store):
    with faults.armed("table.put.after:1:raise"), pytest.raises(faults.InjectedFaultError):
        await inline_store.table.put("a", b"x")
    assert await inline_store.table.get("a") == Row("a", b"x", 1)


async def test_a_change_whose_reading_was_cancelled_is_found_by_the_next_reading(inline_store):
    watch = aiter(inline_store.table.watch("ask/"))
    await anext(watch)
    await inline_store.table.put("ask/1", b"x")
    for _ in range(3):
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(watch)
    with trio.fail_after(5):
        assert [row.key for row in await anext(watch)] == ["ask/1"]
