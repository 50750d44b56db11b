from mnedge.model.resources import Device
from mnedge_devices.lines import Lines


def test_a_probe_made_of_one_function_tells_what_that_finds():
    def read(sys_root, dev_root):
        yield Device(id="a", kind="pin", path=str(dev_root / "a"))

    probe = Lines("pin", read, "/s", "/d", "", "/snd")
    assert probe.watched == ("/d", "/d/snd")
    found = probe.probe()
    assert found.devices[0].path == "/d/a"
    assert found.capabilities == ("pin",)
    assert probe.environment(found.devices) == {}
    assert Lines("pin", lambda *_: (), "/s", "/d").probe().capabilities == ()
