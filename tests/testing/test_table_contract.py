"""The table suite notices tables that break their word."""

import pytest

from mnedge.ports import Row
from mnedge.store.memory import MemoryStore, MemoryTable
from mnedge.testing.table_contract import TableContract

SUITE = TableContract()


class Forgetful(MemoryTable):
    """Ignores the version it was told."""

    async def put(self, key, value, *, if_version=None, sync=True):
        return await super().put(key, value)


class Stuck(MemoryTable):
    """Gives every row version 1."""

    async def put(self, key, value, *, if_version=None, sync=True):
        await super().put(key, value, if_version=if_version)
        return 1


class Undying(MemoryTable):
    """Deletes nothing."""

    async def delete(self, key, *, if_version=None, sync=True):
        pass


class Halfway(MemoryTable):
    """Writes new rows one after another."""

    async def put_new(self, rows):
        for key, value in rows.items():
            await super().put(key, value, if_version=0)


class Sloppy(MemoryTable):
    """Scans for keys that contain the prefix anywhere, and forgets the limit."""

    async def scan(self, prefix, *, after="", limit=500):
        rows = [row for row in await super().scan("", limit=10_000) if prefix in row.key]
        return [row for row in rows if row.key > after]


class Deaf(MemoryTable):
    """Watches the whole table."""

    def watch(self, prefix):
        return super().watch("")


class Mangling(MemoryTable):
    """Gives back values without their last byte."""

    async def get(self, key):
        row = await super().get(key)
        return row and Row(row.key, row.value[:-1], row.version)


@pytest.mark.parametrize(
    "kind,test",
    [
        (Forgetful, SUITE.test_version_zero_writes_only_a_new_key),
        (Halfway, SUITE.test_of_new_rows_none_is_written_if_one_is_there),
        (Forgetful, SUITE.test_a_write_for_another_version_changes_nothing),
        (Forgetful, SUITE.test_many_writers_of_one_row_lose_no_write),
        (Stuck, SUITE.test_versions_count_the_writes_of_a_row_from_one),
        (Undying, SUITE.test_a_deleted_row_is_gone_and_may_come_back_new),
        (Undying, SUITE.test_a_delete_for_another_version_leaves_the_row),
        (Sloppy, SUITE.test_a_scan_gives_the_keys_under_a_prefix_in_order),
        (Sloppy, SUITE.test_a_scan_goes_on_after_a_key_page_by_page),
        (Deaf, SUITE.test_a_watch_begins_with_all_that_is_there),
        (Deaf, SUITE.test_a_watch_reports_writes_under_its_prefix_only),
        (Mangling, SUITE.test_a_row_comes_back_as_it_was_written),
    ],
)
async def test_a_broken_table_is_caught(notices, kind, test):
    table = MemoryStore().table
    await test(table)
    broken = MemoryStore().table
    broken.__class__ = kind
    assert await notices(test, broken)
