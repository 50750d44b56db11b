import pytest

from mnedge.config.read import read_config
from mnedge.daemon.store import opened_store

pytestmark = pytest.mark.live


async def test_the_store_of_the_data_directory_is_opened_and_left(tmp_path):
    config = read_config({"HOME": str(tmp_path)})
    async with opened_store(config) as store:
        await store.table.put("key", b"value")
    assert (config.data_dir / "mnedge.db").exists()
    async with opened_store(config) as store:
        assert (await store.table.get("key")).value == b"value"
