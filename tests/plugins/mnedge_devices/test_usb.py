from mnedge_devices.usb import devices
from tests.plugins.mnedge_devices.machine import Machine


def test_what_is_plugged_in_is_told_by_serial_number_or_socket_and_hubs_are_not(tmp_path):
    machine = Machine(tmp_path / "machine")
    machine.usb("1-1", 2, "046D", "0825", serial="A1", manufacturer="Logitech", product="C270")
    machine.usb("1-2", 3, "1a86", "7523")
    hub = machine.usb("usb1", 1, "1d6b", "0002")
    (hub / "bDeviceClass").write_text("09\n")
    machine.link(machine.sys / "bus/usb/devices/1-1:1.0", machine.sys / "devices/interface")
    (probe,) = devices(*machine.roots)
    first, second = probe.probe().devices
    assert (first.id, first.name) == ("usb-046d:0825-A1", "Logitech C270")
    assert (first.vendor, first.capabilities) == ("046d", ("046d:0825",))
    assert first.path == str(machine.dev / "bus/usb/001/002")
    assert second.id == "usb-1a86:7523-1-2"
    assert probe.environment([first]) == {}


def test_each_bus_is_watched_as_it_comes(tmp_path):
    machine = Machine(tmp_path / "machine")
    (probe,) = devices(*machine.roots)
    assert probe.watched == (str(machine.dev / "bus/usb"),)
    machine.node("bus/usb/001/002")
    assert probe.watched == (str(machine.dev / "bus/usb"), str(machine.dev / "bus/usb/001"))
