from mnedge_devices.gpio import devices
from tests.plugins.mnedge_devices.machine import Machine


def test_a_chip_is_named_by_where_it_is_and_told_with_its_node(tmp_path):
    machine = Machine(tmp_path / "machine")
    board = machine.device("platform", "fe200000.gpio", "pinctrl-bcm2711")
    machine.write(board / "of_node", compatible="brcm,bcm2711-gpio")
    chip = machine.write(board / "gpiochip0")
    machine.link(machine.sys / "bus/gpio/devices/gpiochip0", chip)
    machine.node("gpiochip0")
    (probe,) = devices(*machine.roots)
    (found,) = probe.probe().devices
    assert (found.id, found.name) == ("gpio-fe200000.gpio", "brcm,bcm2711-gpio")
    assert (found.driver, found.path) == ("pinctrl-bcm2711", str(machine.dev / "gpiochip0"))
