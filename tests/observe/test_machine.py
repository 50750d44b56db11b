from mnedge.execution.pools import PoolStats
from mnedge.model.resources import Device
from mnedge.observe.machine import (
    measure_devices,
    measure_plugins,
    measure_pools,
    measure_process,
    measure_store,
    measure_streams,
)
from mnedge.observe.metrics import Registry
from mnedge.store.condition import Conditions


def values(registry):
    return {(s.name, tuple(s.labels.values())): s.value for s in registry.samples()}


def test_the_process_is_measured_when_somebody_asks():
    registry = Registry()
    measure_process(registry, now=lambda: 7.0, node="n")
    found = values(registry)
    assert found[("process_start_time_seconds", ())] == 7.0
    assert 1 << 20 < found[("process_resident_memory_bytes", ())] < 8 << 30
    assert found[("process_cpu_seconds_total", ())] > 0
    assert found[("process_open_fds", ())] >= 3
    assert ("mnedge_build_info", ("0.0.0", "n")) not in found
    assert any(name == "mnedge_build_info" for name, _ in found)


def test_pools_are_told_by_state():
    registry = Registry()
    pools = {"default": PoolStats(4, 3, 1, 2, 3)}
    measure_pools(registry, lambda: pools)
    found = values(registry)
    assert found[("mnedge_pool_slots", ("default", "in_use"))] == 3
    assert found[("mnedge_pool_slots", ("default", "free"))] == 1
    assert found[("cortex_queue_depth", ("default",))] == 2


def test_the_store_tells_its_condition_and_its_size(tmp_path):
    registry, conditions = Registry(), Conditions(lambda: 0.0)
    database = tmp_path / "store.db"
    database.write_bytes(b"x" * 100)
    measure_store(registry, conditions, database)
    found = values(registry)
    assert found[("mnedge_store_condition", ("ok",))] == 1
    assert found[("mnedge_store_bytes", ("database",))] == 100
    assert ("mnedge_store_bytes", ("log",)) not in found


def test_streams_are_counted():
    registry = Registry()
    measure_streams(registry, lambda: 3)
    assert values(registry)[("mnedge_streams_open", ())] == 3


def test_plugins_from_outside_are_counted_by_state():
    registry = Registry()
    measure_plugins(registry, lambda: {"on": 2, "quarantined": 1})
    figures = values(registry)
    assert figures[("mnedge_plugins", ("on",))] == 2
    assert figures[("mnedge_plugins", ("quarantined",))] == 1


def test_devices_are_counted_by_kind_and_health_and_the_memory_of_gpus_is_told():
    registry = Registry()
    gpu = {"kind": "gpu", "vendor": "nvidia", "memory_total_mb": 10}
    devices = [
        Device(id="GPU-a", index=0, memory_free_mb=4, **gpu),
        Device(id="GPU-b", index=1, **gpu),
        Device(id="GPU-c", index=2, healthy=False, **gpu),
        Device(id="cam", kind="camera"),
    ]
    measure_devices(registry, lambda: devices)
    found = values(registry)
    assert found[("mnedge_devices", ("gpu", "true"))] == 2
    assert found[("mnedge_devices", ("gpu", "false"))] == 1
    assert found[("mnedge_devices", ("camera", "true"))] == 1
    assert found[("nvidia_gpu_memory_total_bytes", ("0", "GPU-a"))] == 10 << 20
    assert found[("nvidia_gpu_memory_used_bytes", ("0", "GPU-a"))] == 6 << 20
    assert ("nvidia_gpu_memory_used_bytes", ("1", "GPU-b")) not in found, "nobody knows"
    assert ("nvidia_gpu_memory_total_bytes", ("2", "GPU-c")) not in found
