"""The suite finds what is wrong with a probe."""

import pytest

from mnedge.model.resources import Device, Fingerprint
from mnedge.testing.device_contract import DeviceContract, a_device

SUITE = DeviceContract()


class Careless:
    """Counts on, shouts, tells everybody of everything, and breaks."""

    name = "Careless"
    watched = ("dev",)

    def __init__(self, *found):
        self.found = found
        self.count = 0

    def probe(self):
        self.count += 1
        counted = Device(id=f"dev-{self.count}", kind="GPU", vendor="Maker", healthy=False)
        return Fingerprint(devices=(counted, *self.found), capabilities=("Not_A_Label",))

    def environment(self, lent):
        return {"VISIBLE": ",".join(device.id for device in self.found)}


@pytest.fixture
def careless():
    return Careless(a_device("a"), a_device("a"))


@pytest.mark.parametrize(
    "test",
    [
        SUITE.test_it_says_what_it_is,
        SUITE.test_it_names_whole_paths_of_folders_to_watch,
        SUITE.test_each_device_has_an_id_of_its_own,
        SUITE.test_it_finds_the_same_again_in_the_same_order,
        SUITE.test_devices_are_spelled_as_schedulers_read_them,
        SUITE.test_labels_are_lower_case_with_hyphens,
        SUITE.test_a_machine_without_any_is_no_error,
        SUITE.test_it_tells_a_worker_of_what_it_was_lent_and_of_nothing_else,
    ],
)
def test_what_a_careless_probe_does_is_found_out(test, careless):
    with pytest.raises(AssertionError):
        test(careless)


def test_a_device_that_stays_when_it_is_unplugged_is_found_out():
    probe = Careless(a_device("a"), a_device("b"))
    with pytest.raises(AssertionError):
        SUITE.test_what_is_unplugged_is_gone_or_unhealthy_and_the_others_keep_their_ids(
            probe, lambda: "a"
        )


def test_a_probe_that_breaks_over_a_torn_file_is_found_out(careless):
    def damaged():
        careless.found = None

    with pytest.raises(TypeError):
        SUITE.test_files_that_make_no_sense_are_no_reason_to_break(careless, damaged)


def test_a_device_for_tests_is_what_it_is_asked_to_be():
    assert a_device("x", kind="camera", shares=2) == Device(id="x", kind="camera", shares=2)
