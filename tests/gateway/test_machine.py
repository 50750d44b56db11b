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
    resource_report,
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


HARDWARE = """{"devices": [
    {"id": "GPU-a", "vendor": "nvidia", "driver": "cuda", "memory_total_mb": 800,
     "memory_free_mb": 300, "unified_memory": true},
    {"id": "GPU-b", "memory_total_mb": 200, "healthy": false},
    {"id": "GPU-c", "memory_total_mb": 100},
    {"id": "cam", "kind": "camera"}
]}"""


async def equipped(**environ):
    inventory = Inventory(environ={"MN_NODE_HARDWARE_JSON": HARDWARE, **environ})
    await inventory.known()
    return inventory


async def test_gpus_that_work_are_counted_and_their_memory_is_summed(tmp_path):
    found = totals(a_config(tmp_path), await equipped())
    assert found["gpu_count"] == 2
    assert found["gpu_memory_total_mb"] == 900
    assert found["gpu_memory_free_mb"] == 400, "what is unknown counts as free"


async def test_what_the_operator_says_of_the_machine_is_shown(tmp_path):
    said = {"CPU_CORES": "64", "MEMORY_TOTAL_MB": "2048", "DISK_TOTAL_MB": "1024"}
    inventory = await equipped(**{f"MN_NODE_{name}": value for name, value in said.items()})
    found = totals(a_config(tmp_path), inventory)
    assert (found["cpu_cores"], found["memory_total_gb"], found["disk_gb"]) == (64, 2, 1)
    assert found["memory_available_gb"] <= 2


async def test_devices_are_told_in_the_shape_that_clients_read(tmp_path):
    async with running(MemoryStore()) as store:
        inventory = await equipped(MN_NODE_DISPLAY_NAME="Hall 3", MN_NODE_HOST_PATHS="/models")
        inventory.lent = lambda: {"GPU-a": 1}
        config = a_config(tmp_path)
        node = await node_json(store, config, {}, Eligibility(), inventory, active_jobs=0)
        gpu = next(one for one in node["devices"] if one["id"] == "GPU-a")
        assert (gpu["kind"], gpu["type"], gpu["in_use"]) == ("gpu", "nvidia/gpu", 1)
        assert node["hardware"]["devices"] == node["devices"]
        assert [one["id"] for one in node["hardware"]["gpu"]] == ["GPU-a", "GPU-b", "GPU-c"]
        assert {"gpu", "nvidia", "cuda", "unified-memory"} <= set(node["capabilities"])
        assert node["display_name"] == "Hall 3"
        assert node["host_paths"] == ["/models"]
        assert node["runtime_drivers"] == ["host_local"]
        report = await resource_report(store, config, inventory)
        assert report["devices"] == report["nodes"][0]["devices"] == node["devices"]
        assert report["probes"] == []
