"""What all device probes keep to. Subclass it in a test module with these fixtures.

`probe`: the probe under test, on a machine with at least two of its devices (build the kernel's
files below folders of your own). `bare`: the same on a machine with none. `unplugged`: a function
that takes one of the devices away and returns its id. `damaged`: a function that makes some of what
the probe reads unreadable or senseless.
"""

from collections.abc import Callable

import msgspec
import trio

from mnedge.model.resources import Device, Fingerprint
from mnedge.ports import DeviceProbe

KINDS = {"gpu", "npu", "cpu", "camera", "serial", "gpio", "i2c", "usb", "audio"}
"""Those that have a meaning to schedulers; a plugin may bring kinds of its own."""
LIMIT_S = 5.0


class DeviceContract:
    """Tests of the DeviceProbe port."""

    def test_it_says_what_it_is(self, probe: DeviceProbe) -> None:
        assert len(probe.name) > 0
        assert probe.name == probe.name.lower()
        assert probe.name.isascii()

    def test_it_names_whole_paths_of_folders_to_watch(self, probe: DeviceProbe) -> None:
        assert all(folder.startswith("/") for folder in probe.watched)
        assert len(set(probe.watched)) == len(probe.watched)

    def test_each_device_has_an_id_of_its_own(self, probe: DeviceProbe) -> None:
        found = probe.probe().devices
        assert len(found) >= 2
        ids = [device.id for device in found]
        assert all(ids)
        assert len(set(ids)) == len(ids)
        assert all(own == own.strip() and "," not in own and "\n" not in own for own in ids)

    def test_it_finds_the_same_again_in_the_same_order(self, probe: DeviceProbe) -> None:
        assert probe.probe() == probe.probe()

    def test_devices_are_spelled_as_schedulers_read_them(self, probe: DeviceProbe) -> None:
        for device in probe.probe().devices:
            assert device.kind == device.kind.lower()
            assert device.vendor == device.vendor.lower()
            assert device.healthy
            assert device.shares >= 0
            assert device.memory_total_mb >= (device.memory_free_mb or 0) >= 0
            assert not device.path or device.path.startswith("/")

    def test_labels_are_lower_case_with_hyphens(self, probe: DeviceProbe) -> None:
        found = probe.probe()
        labels = [*found.capabilities, *found.drivers]
        labels += [label for device in found.devices for label in device.capabilities]
        assert all(label and label == label.lower() for label in labels)
        assert not [label for label in labels if "_" in label or " " in label]

    def test_what_it_found_can_be_sent(self, probe: DeviceProbe) -> None:
        found = probe.probe()
        encoded = msgspec.json.encode(found)
        assert msgspec.json.decode(encoded, type=Fingerprint) == found

    def test_a_machine_without_any_is_no_error(self, bare: DeviceProbe) -> None:
        found = bare.probe()
        assert found.devices == ()
        assert found.drivers == ()

    def test_what_is_unplugged_is_gone_or_unhealthy_and_the_others_keep_their_ids(
        self, probe: DeviceProbe, unplugged: Callable[[], str]
    ) -> None:
        before = {device.id for device in probe.probe().devices}
        gone = unplugged()
        assert gone in before
        after = {device.id for device in probe.probe().devices if device.healthy}
        assert after == before - {gone}

    def test_files_that_make_no_sense_are_no_reason_to_break(
        self, probe: DeviceProbe, damaged: Callable[[], None]
    ) -> None:
        damaged()
        try:
            assert isinstance(probe.probe(), Fingerprint)
        except OSError as error:
            said = str(error)
        else:
            said = "it makes the best of it"
        assert said, "it says what cannot be used"

    def test_it_tells_a_worker_of_what_it_was_lent_and_of_nothing_else(
        self, probe: DeviceProbe
    ) -> None:
        found = probe.probe().devices
        for lent in ((), found[:1], found):
            told = probe.environment(lent)
            for name, value in told.items():
                assert name == name.upper()
                assert "=" not in name
                assert "\0" not in value
            texts = "\n".join(told.values())
            others = [device for device in found if device not in lent]
            assert not [device.id for device in others if device.id in texts.split(",")]

    async def test_it_can_look_in_a_thread_while_the_node_goes_on(self, probe: DeviceProbe) -> None:
        with trio.fail_after(LIMIT_S):
            found = await trio.to_thread.run_sync(probe.probe)
        assert found == probe.probe()

    def test_a_known_kind_is_spelled_as_it_is_known(self, probe: DeviceProbe) -> None:
        kinds = {device.kind for device in probe.probe().devices}
        assert all(kind in KINDS or "-" not in kind for kind in kinds)


def a_device(name: str = "a", **more: object) -> Device:
    """Return a device for tests of what lends them."""
    return msgspec.convert({"id": name, "kind": "gpu", **more}, Device)
