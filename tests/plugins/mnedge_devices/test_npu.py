from mnedge_devices.npu import devices
from tests.plugins.mnedge_devices.machine import Machine


def test_accelerators_of_both_kinds_are_told(tmp_path):
    machine = Machine(tmp_path / "machine")
    vpu = machine.device("pci0000:00", "0000:00:0b.0", "intel_vpu", vendor="0x8086")
    machine.of_class("accel", "accel0", vpu)
    coral = machine.device("pci0000:00", "0000:01:00.0", "apex", vendor="0x1ac1")
    machine.of_class("apex", "apex_0", coral)
    machine.node("accel/accel0", "apex_0")
    (probe,) = devices(*machine.roots)
    found = probe.probe().devices
    assert [one.id for one in found] == ["npu-0000:00:0b.0", "npu-0000:01:00.0"]
    assert [one.vendor for one in found] == ["intel", "google"]
    assert [one.path for one in found] == [
        str(machine.dev / "accel/accel0"),
        str(machine.dev / "apex_0"),
    ]
