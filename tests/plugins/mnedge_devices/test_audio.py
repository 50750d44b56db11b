from mnedge_devices.audio import devices
from tests.plugins.mnedge_devices.machine import Machine


def test_a_card_says_whether_it_hears_or_sounds(tmp_path):
    machine = Machine(tmp_path / "machine")
    device = machine.device("pci0000:00", "0000:00:1f.3", "snd_hda_intel")
    machine.of_class("sound", "card1", device, id="PCH", number=1)
    for stream in ("pcmC1D0c", "pcmC1D3p", "pcmC10D0p", "controlC1", "cardless"):
        machine.write(machine.sys / "class/sound" / stream)
    machine.node("snd/controlC1")
    (probe,) = devices(*machine.roots)
    (found,) = probe.probe().devices
    assert (found.id, found.index, found.driver) == ("audio-PCH", 1, "snd_hda_intel")
    assert found.capabilities == ("capture", "playback")
