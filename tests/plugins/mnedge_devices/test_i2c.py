from mnedge_devices.i2c import devices
from tests.plugins.mnedge_devices.machine import Machine


def test_a_bus_is_told_only_if_programs_can_open_it(tmp_path):
    machine = Machine(tmp_path / "machine")
    for at in (1, 2):
        board = machine.device("platform", f"fe80{at}000.i2c", "i2c-bcm2835")
        bus = machine.write(board / f"i2c-{at}", name=f"bus {at}")
        machine.link(machine.sys / f"bus/i2c/devices/i2c-{at}", bus)
    machine.node("i2c-1")
    (probe,) = devices(*machine.roots)
    (found,) = probe.probe().devices
    assert (found.id, found.name, found.driver) == ("i2c-fe801000.i2c", "bus 1", "i2c-bcm2835")
