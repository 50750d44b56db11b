from mnedge_devices.serial import devices
from tests.plugins.mnedge_devices.machine import Machine


def test_only_ports_with_something_real_behind_them_are_told(tmp_path):
    machine = Machine(tmp_path / "machine")
    plugged = machine.usb("1-1", 2, "0403", "6001", product="FT232R USB UART")
    interface = machine.write(plugged / "1-1:1.0")
    machine.of_class("tty", "ttyUSB0", interface)
    board = machine.device("platform", "fe201000.serial", "uart-pl011")
    machine.of_class("tty", "ttyAMA0", board, type=32)
    machine.of_class("tty", "ttyS1", machine.device("platform", "serial8250"), type=0)
    machine.write(machine.sys / "class/tty/tty1")
    machine.node("ttyUSB0", "ttyAMA0", "ttyS1", "tty1")
    machine.named("serial/by-id/usb-FTDI_FT232R_A5-if00-port0", "ttyUSB0")
    (probe,) = devices(*machine.roots)
    found = probe.probe()
    built_in, adapter = sorted(found.devices, key=lambda one: one.path)
    assert (built_in.id, built_in.driver, built_in.capabilities) == ("ttyAMA0", "uart-pl011", ())
    assert adapter.id == "usb-FTDI_FT232R_A5-if00-port0"
    assert (adapter.name, adapter.vendor) == ("FT232R USB UART", "0403")
    assert found.capabilities == ("serial",)
    assert probe.environment(found.devices) == {}
