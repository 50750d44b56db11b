import pytest

from mnedge_devices.intel import devices
from tests.plugins.mnedge_devices.machine import Machine


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "machine")


@pytest.fixture
def probe(machine):
    (probe,) = devices(*machine.roots)
    return probe


def test_memory_is_told_where_the_driver_tells_it_and_else_is_the_machines(probe, machine):
    machine.card(0, "0000:00:02.0", "0x8086", "i915")
    older = machine.card(1, "0000:03:00.0", "0x8086", "i915")
    machine.write(older, lmem_total_bytes=8 << 30)
    newer = machine.card(2, "0000:04:00.0", "0x8086", "xe")
    for tile in (0, 1):
        machine.write(newer / f"device/tile{tile}", physical_vram_size_bytes=hex(6 << 30))
    inside, *apart = probe.probe().devices
    assert (inside.memory_total_mb, inside.unified_memory) == (0, True)
    assert "unified-memory" in inside.capabilities
    assert [gpu.memory_total_mb for gpu in apart] == [8 << 10, 12 << 10]
    assert [gpu.driver for gpu in apart] == ["i915", "xe"]


def test_workers_are_told_the_numbers_of_their_gpus(probe, machine):
    for at in (0, 1):
        machine.card(at, f"0000:0{at}:02.0", "0x8086", "xe")
    found = probe.probe().devices
    assert probe.environment(found[1:]) == {"ZE_AFFINITY_MASK": "1"}
    assert probe.environment(()) == {}
