from mnedge_devices.graphics import cards
from tests.plugins.mnedge_devices.machine import Machine


def test_cards_come_in_the_order_of_the_bus_and_outputs_are_none(tmp_path):
    machine = Machine(tmp_path / "machine")
    machine.card(0, "0000:09:00.0", "0x1002", "amdgpu")
    machine.card(1, "0000:03:00.0", "0x1002", "amdgpu", label="Left")
    found = list(cards(machine.sys, machine.dev, 0x1002))
    assert [card.address for card in found] == ["0000:03:00.0", "0000:09:00.0"]
    assert [card.name for card in found] == ["Left", ""]
    assert found[0].path == str(machine.dev / "dri/renderD129")
    assert all(card.openable for card in found)


def test_a_card_without_a_node_to_compute_by_is_opened_by_its_own(tmp_path):
    machine = Machine(tmp_path / "machine")
    card = machine.card(0, "0000:03:00.0", "0x1002", "amdgpu")
    machine.gone(card / "device/drm/renderD128")
    (found,) = cards(machine.sys, machine.dev, 0x1002)
    assert found.path == str(machine.dev / "dri/card0")
