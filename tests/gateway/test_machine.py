import pytest

from mnedge.config.settings import Listen, Relay
from mnedge.execution.inventory import Inventory
from mnedge.execution.pools import Pools
from mnedge.gateway.eligibility import Eligibility
from mnedge.gateway.machine import (
    LIMITS,
    LimitsInvalidError,
    limits,
    node_json,
    set_limits,
    store_identity,
    totals,
    usable,
)
from mnedge.part import running
from mnedge.store.memory import MemoryStore
from tests.runtime.rig import a_config


async def test_limits_are_whole_until_somebody_sets_them():
    async with running(MemoryStore()) as store:
        assert set((await limits(store)).values()) == {100}
        await set_limits(store, {"cpu": 10})
        await set_limits(store, {"disk": 20})
        assert await limits(store) == {"cpu": 10, "gpu": 100, "memory": 100, "disk": 20}
        with pytest.raises(LimitsInvalidError):
            await set_limits(store, {"cpu": 101, "disk": 1})
        assert (await limits(store))["disk"] == 20
        assert await store.table.get(LIMITS) is not None


async def test_the_identity_of_the_store_is_drawn_once():
    async with running(MemoryStore()) as store, running(MemoryStore()) as other:
        first = await store_identity(store)
        assert await store_identity(store) == first
        assert await store_identity(other) != first


def test_what_may_be_used_follows_the_limits(tmp_path):
    shares = {"cpu": 50, "gpu": 100, "memory": 25, "disk": 10}
    found = totals(a_config(tmp_path), Inventory())
    rest = usable(found, shares)
    assert rest["cpu_cores"] == pytest.approx(found["cpu_cores"] * 0.5)
    assert rest["memory_gb"] == pytest.approx(found["memory_gb"] * 0.25, abs=0.01)
    assert rest["disk_gb"] == pytest.approx(found["disk_gb"] * 0.1, abs=0.01)


async def test_a_node_tells_its_address_only_if_it_is_fixed(tmp_path):
    async with running(MemoryStore()) as store:
        for grpc, told in (("127.0.0.1:55051", True), ("127.0.0.1:0", False), (None, False)):
            config = a_config(tmp_path, relay=Relay(listen=Listen(grpc=grpc)))
            node = await node_json(
                store,
                config,
                Pools({"gpu": 2}).stats(),
                Eligibility(draining=True),
                Inventory(),
                active_jobs=3,
            )
            assert (node.get("grpc_port") == 55051) is told
            assert node["status"] == "draining"
            assert node["executor_pools"]["gpu"]["available"] == 2
            assert node["active_jobs"] == 3
