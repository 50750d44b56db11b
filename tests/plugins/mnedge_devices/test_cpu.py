import pytest

from mnedge_devices.cpu import devices
from tests.plugins.mnedge_devices.machine import Machine

X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC
physical id\t: 1
flags\t\t: fpu avx2 svm avx512_vnni made_up

"""
ARM = """processor\t: 0
Features\t: fp asimd asimddp i8mm
CPU part\t: 0xd0b

Hardware\t: BCM2835
Model\t\t: Raspberry Pi 5 Model B
"""
RISCV = "processor\t: 0\nisa\t\t: rv64imafdcv_zicbom_zvfh\nuarch\t\t: sifive,u74\n"


@pytest.mark.parametrize(
    "cpuinfo,own,model,vendor,labels",
    [
        (X86, "cpu-1", "AMD EPYC", "amd", ("avx2", "avx512-vnni", "virtualization")),
        (ARM, "cpu-0", "Raspberry Pi 5 Model B", "", ("asimd", "asimddp", "i8mm")),
        (RISCV, "cpu-0", "sifive,u74", "", ("v", "zvfh")),
    ],
)
def test_a_processor_is_told_with_what_programs_are_built_for(
    tmp_path, cpuinfo, own, model, vendor, labels
):
    machine = Machine(tmp_path / "machine")
    (machine.proc / "cpuinfo").write_text(cpuinfo)
    (probe,) = devices(machine.roots[0])
    found = probe.probe()
    (cpu,) = found.devices
    assert (cpu.id, cpu.name, cpu.vendor, cpu.capabilities) == (own, model, vendor, labels)
    assert cpu.shares == 0, "it is shown, not lent"
    assert found.capabilities == tuple(sorted(labels))
    assert probe.environment([cpu]) == {}


def test_nodes_of_memory_are_counted_if_there_are_several(tmp_path):
    machine = Machine(tmp_path / "machine")
    (machine.proc / "cpuinfo").write_text(X86)
    for at in (0, 1):
        machine.write(machine.sys / f"devices/system/node/node{at}", cpulist="0")
    (probe,) = devices(machine.roots[0])
    assert "numa-2" in probe.probe().capabilities
