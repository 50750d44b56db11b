import pytest

from mnedge.model.resources import Device
from mnedge_devices.amd import devices
from tests.plugins.mnedge_devices.machine import Machine


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "machine")


@pytest.fixture
def probe(machine):
    (probe,) = devices(*machine.roots)
    return probe


def test_a_card_is_told_with_its_memory_and_the_node_to_compute_by(probe, machine):
    vram = {"mem_info_vram_total": 16 << 30, "mem_info_vram_used": 1 << 30}
    machine.card(0, "0000:03:00.0", "0x1002", "amdgpu", unique_id="ab12", **vram)
    machine.node("kfd")
    found = probe.probe()
    assert found.devices == (
        Device(
            id="GPU-000000000000ab12",
            kind="gpu",
            name="AMD GPU",
            vendor="amd",
            driver="rocm",
            driver_version="1.2.3",
            memory_total_mb=16 << 10,
            memory_free_mb=15 << 10,
            index=0,
            path=str(machine.dev / "dri/renderD128"),
            capabilities=("amd", "amdgpu", "gpu", "rocm"),
        ),
    )
    assert found.drivers == ("rocm",)
    assert probe.environment(found.devices) == {"ROCR_VISIBLE_DEVICES": "GPU-000000000000ab12"}


def test_without_the_compute_driver_it_goes_by_its_place_and_number(probe, machine):
    machine.card(0, "0000:03:00.0", "0x1002", "amdgpu", product_name="Radeon")
    (gpu,) = probe.probe().devices
    assert (gpu.id, gpu.name, gpu.driver) == ("0000:03:00.0", "Radeon", "amdgpu")
    assert gpu.memory_free_mb is None
    assert probe.environment([gpu]) == {"ROCR_VISIBLE_DEVICES": "0"}
    assert probe.environment(()) == {"ROCR_VISIBLE_DEVICES": ""}


def test_a_card_whose_node_is_not_there_is_unhealthy(probe, machine):
    machine.card(0, "0000:03:00.0", "0x1002", "amdgpu")
    machine.gone(machine.dev / "dri/renderD128")
    assert [gpu.healthy for gpu in probe.probe().devices] == [False]


def test_cards_of_others_are_not_its_business(probe, machine):
    machine.card(0, "0000:03:00.0", "0x8086", "i915")
    machine.card(1, "0000:04:00.0", "0x1af4", "virtio-pci")
    assert probe.probe().devices == ()
