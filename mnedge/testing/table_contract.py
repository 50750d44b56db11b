"""What every table keeps to. Subclass it in a test module with a fixture `table`: an empty one."""

import pytest
import trio

from mnedge.errors import ConflictError
from mnedge.ports import Row, Table

PATIENCE_S = 10.0


class TableContract:
    """Tests of the Table port."""

    async def test_a_key_that_was_never_written_is_not_there(self, table: Table) -> None:
        assert await table.get("job/1") is None

    async def test_a_row_comes_back_as_it_was_written(self, table: Table) -> None:
        for value in (b"", b"text", bytes(range(256)), b"x" * 200_000):
            await table.put("job/1", value)
            row = await table.get("job/1")
            assert row is not None
            assert (row.key, row.value) == ("job/1", value)

    async def test_a_write_that_shares_the_next_fsync_is_seen_at_once(self, table: Table) -> None:
        assert await table.put("job/a", b"1", sync=False) == 1
        assert await table.get("job/a") == Row("job/a", b"1", 1)
        assert await table.put("job/a", b"2") == 2
        assert await table.get("job/a") == Row("job/a", b"2", 2)
        await table.delete("job/a", sync=False)
        assert await table.get("job/a") is None

    async def test_versions_count_the_writes_of_a_row_from_one(self, table: Table) -> None:
        assert [await table.put("a", b"v") for _ in range(3)] == [1, 2, 3]
        assert await table.put("b", b"v") == 1
        assert await table.get("a") == Row("a", b"v", 3)

    async def test_version_zero_writes_only_a_new_key(self, table: Table) -> None:
        assert await table.put("a", b"first", if_version=0) == 1
        with pytest.raises(ConflictError):
            await table.put("a", b"second", if_version=0)
        assert await table.get("a") == Row("a", b"first", 1)

    async def test_a_write_for_another_version_changes_nothing(self, table: Table) -> None:
        await table.put("a", b"one")
        with pytest.raises(ConflictError):
            await table.put("a", b"two", if_version=2)
        with pytest.raises(ConflictError):
            await table.put("b", b"two", if_version=1)
        assert await table.put("a", b"three", if_version=1) == 2
        assert await table.get("b") is None

    async def test_new_rows_come_together(self, table: Table) -> None:
        rows = {"job/a": b"1", "open/a": b"", "spec/a": b"x" * 100_000}
        watch = table.watch("")
        assert await anext(watch) == []
        await table.put_new(rows)
        with trio.fail_after(PATIENCE_S):
            seen = await anext(watch)
        assert {row.key: row.value for row in seen} == rows
        assert [await table.get(key) for key in rows] == [
            Row(key, value, 1) for key, value in rows.items()
        ]

    async def test_of_new_rows_none_is_written_if_one_is_there(self, table: Table) -> None:
        await table.put("job/b", b"old")
        with pytest.raises(ConflictError):
            await table.put_new({"job/a": b"new", "job/b": b"new", "job/c": b"new"})
        assert await table.scan("job/") == [Row("job/b", b"old", 1)]

    async def test_a_deleted_row_is_gone_and_may_come_back_new(self, table: Table) -> None:
        await table.put("a", b"one")
        await table.put("a", b"two")
        await table.delete("a")
        assert await table.get("a") is None
        assert await table.put("a", b"three", if_version=0) == 1

    async def test_deleting_what_is_not_there_is_no_error(self, table: Table) -> None:
        await table.delete("a")
        await table.delete("a", if_version=7)

    async def test_a_delete_for_another_version_leaves_the_row(self, table: Table) -> None:
        await table.put("a", b"one")
        with pytest.raises(ConflictError):
            await table.delete("a", if_version=2)
        assert await table.get("a") is not None
        await table.delete("a", if_version=1)
        assert await table.get("a") is None

    async def test_a_scan_gives_the_keys_under_a_prefix_in_order(self, table: Table) -> None:
        for key in (
            "job/b",
            "job/a",
            "job",
            "joc/a",
            "job/ä",
            "job/a/1",
            "jo%/x",
            "job/_",
            "a/job/a",
        ):
            await table.put(key, key.encode())
        found = await table.scan("job/")
        assert [row.key for row in found] == ["job/_", "job/a", "job/a/1", "job/b", "job/ä"]
        assert [row.value.decode() for row in found] == [row.key for row in found]
        assert [row.key for row in await table.scan("jo%")] == ["jo%/x"]
        assert len(await table.scan("")) == 9
        assert await table.scan("nothing/") == []

    async def test_a_scan_goes_on_after_a_key_page_by_page(self, table: Table) -> None:
        keys = [f"k/{number:03}" for number in range(25)]
        for key in keys:
            await table.put(key, b"")
        found: list[str] = []
        while page := await table.scan("k/", after=found[-1] if found else "", limit=10):
            assert len(page) <= 10
            found += [row.key for row in page]
        assert found == keys

    async def test_a_scan_after_a_key_outside_the_prefix_keeps_to_the_prefix(
        self, table: Table
    ) -> None:
        for key in ("a/1", "b/1", "c/1"):
            await table.put(key, b"")
        assert [row.key for row in await table.scan("b/", after="a/9")] == ["b/1"]
        assert await table.scan("b/", after="c/") == []

    async def test_a_prefix_of_the_greatest_characters_is_still_a_prefix(
        self, table: Table
    ) -> None:
        keys = ["a\ud7ff", "a\ud7ffz", "a\U0010ffff", "a\U0010ffffz", "b"]
        for key in keys:
            await table.put(key, b"")
        assert [row.key for row in await table.scan("a\ud7ff")] == keys[:2]
        assert [row.key for row in await table.scan("a\U0010ffff")] == keys[2:4]

    async def test_many_writers_of_one_row_lose_no_write(self, table: Table) -> None:
        await table.put("n", b"0")

        async def add_one() -> None:
            while True:
                row = await table.get("n")
                assert row is not None
                try:
                    await table.put("n", b"%d" % (int(row.value) + 1), if_version=row.version)
                except ConflictError:
                    continue
                return

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(add_one)
        assert await table.get("n") == Row("n", b"20", 21)

    async def test_a_watch_begins_with_all_that_is_there(self, table: Table) -> None:
        await table.put("ask/2", b"two")
        await table.put("ask/1", b"one")
        await table.put("job/1", b"other")
        with trio.fail_after(PATIENCE_S):
            async for rows in table.watch("ask/"):
                assert [row.key for row in rows] == ["ask/1", "ask/2"]
                break

    async def test_a_watch_of_nothing_begins_with_an_empty_batch(self, table: Table) -> None:
        with trio.fail_after(PATIENCE_S):
            async for rows in table.watch("ask/"):
                assert rows == []
                break

    async def test_a_watch_reports_writes_under_its_prefix_only(self, table: Table) -> None:
        seen = await self._watched(
            table,
            "ask/",
            [("ask/1", b"a"), ("job/1", b"b"), ("ask/2", b"c"), ("ask/1", b"d")],
            last=Row("ask/1", b"d", 2),
        )
        assert {row.key for row in seen} == {"ask/1", "ask/2"}

    async def test_a_watch_reports_a_row_that_was_deleted_and_written_again(
        self, table: Table
    ) -> None:
        await table.put("ask/1", b"first")
        await table.delete("ask/1")
        await self._watched(table, "ask/", [("ask/1", b"again")], last=Row("ask/1", b"again", 1))

    async def test_a_write_while_the_watcher_is_busy_is_not_missed(self, table: Table) -> None:
        with trio.fail_after(PATIENCE_S):
            batches = 0
            async for rows in table.watch("ask/"):
                batches += 1
                if batches == 1:
                    await table.put("ask/1", b"while busy")
                    continue
                assert [row.value for row in rows] == [b"while busy"]
                break

    async def test_several_watchers_see_the_same(self, table: Table) -> None:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(PATIENCE_S):
                for _ in range(5):
                    await nursery.start(self._watch_until, table, "ask/", Row("ask/9", b"last", 1))
                for number in range(10):
                    await table.put(f"ask/{number}", b"last" if number == 9 else b"")

    async def _watched(
        self, table: Table, prefix: str, writes: list[tuple[str, bytes]], last: Row
    ) -> list[Row]:
        seen: list[Row] = []
        async with trio.open_nursery() as nursery:
            with trio.fail_after(PATIENCE_S):
                await nursery.start(self._watch_until, table, prefix, last, seen)
                for key, value in writes:
                    await table.put(key, value)
        return seen

    async def _watch_until(
        self,
        table: Table,
        prefix: str,
        last: Row,
        seen: list[Row] | None = None,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        first = True
        async for rows in table.watch(prefix):
            assert first or rows, "only the first batch may be empty"
            if first:
                task_status.started()
            elif seen is not None:
                seen.extend(rows)
            first = False
            if last in rows:
                return
