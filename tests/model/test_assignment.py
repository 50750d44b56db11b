"""Devices are handed out if there is any way to; the smallest that will do goes first."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from mnedge.model.assignment import assign, why_not
from mnedge.model.resources import Device, DeviceAsk, missing


def gpu(name, memory_mb=80_000, **more):
    return Device(id=name, kind="gpu", memory_total_mb=memory_mb, **more)


H100, SMALL = gpu("h100"), gpu("small", 8_000)
CAMERA = Device(id="cam", kind="camera", capabilities=("capture",))


def test_the_smallest_that_will_do_is_taken_first():
    assert assign([DeviceAsk(kind="gpu")], [H100, SMALL]) == (SMALL,)
    assert assign([DeviceAsk(kind="gpu", min_memory_mb=9_000)], [SMALL, H100]) == (H100,)


def test_the_choosiest_ask_chooses_first_and_the_answer_keeps_the_order_of_the_asks():
    asks = [DeviceAsk(kind="gpu"), DeviceAsk(kind="gpu", ids=("small",))]
    assert assign(asks, [SMALL, H100]) == (H100, SMALL)


def test_an_early_choice_is_taken_back_if_it_leaves_a_later_ask_without():
    a, b = gpu("a", 8, capabilities=("x", "y")), gpu("b", 16, capabilities=("x", "z"))
    c = gpu("c", 24, capabilities=("y", "z"))
    asks = [DeviceAsk(kind="gpu", capabilities=(one,)) for one in "xyz"]
    assert assign(asks, [a, b, c]) == (a, c, b)


def test_each_is_lent_once_unless_it_says_that_it_can_be_shared():
    shared = gpu("s", shares=2)
    open_to_all = gpu("all", shares=0)
    ask = [DeviceAsk(kind="gpu")]
    assert assign(ask, [H100], {"h100": 1}) is None
    assert assign(ask, [shared], {"s": 1}) == (shared,)
    assert assign(ask, [shared], {"s": 2}) is None
    assert assign(ask, [open_to_all], {"all": 99}) == (open_to_all,)
    assert assign([DeviceAsk(kind="gpu", count=2)], [shared]) is None, "two are two devices"


def test_what_is_unhealthy_is_not_lent():
    assert assign([DeviceAsk(kind="gpu")], [gpu("ill", healthy=False)]) is None


def test_who_asks_for_nothing_gets_nothing():
    assert assign([], [H100]) == ()
    assert why_not([], []) == ""


def test_what_a_machine_never_has_is_told_with_the_nearest_miss():
    ask = [DeviceAsk(kind="gpu", min_memory_mb=90_000)]
    assert why_not(ask, [CAMERA, H100]) == (
        "1 gpu, memory >= 90000 MiB: this machine has none (h100 will not do: it has 80000 MiB)"
    )
    assert why_not([DeviceAsk(kind="npu")], [H100]) == "1 npu: this machine has none"
    ill = gpu("ill", healthy=False)
    assert why_not([DeviceAsk(kind="gpu", count=2)], [H100, ill]) == (
        "2 gpu: this machine has 1 (ill will not do: it is unhealthy)"
    )
    both = [DeviceAsk(kind="gpu"), DeviceAsk(ids=("h100",))]
    assert "not enough for all of them together" in why_not(both, [H100])
    assert why_not([DeviceAsk(kind="gpu", count=2)], [H100, SMALL]) == ""


DEVICES = st.lists(
    st.builds(
        Device,
        id=st.sampled_from("abcdefg"),
        kind=st.sampled_from(["gpu", "camera"]),
        memory_total_mb=st.sampled_from([0, 8, 16]),
        capabilities=st.sets(st.sampled_from("xyz")).map(lambda found: tuple(sorted(found))),
        healthy=st.integers(0, 4).map(bool),
        shares=st.integers(1, 2),
    ),
    unique_by=lambda device: device.id,
    max_size=6,
)
ASKS = st.lists(
    st.builds(
        DeviceAsk,
        kind=st.sampled_from(["", "gpu", "camera"]),
        min_memory_mb=st.sampled_from([0, 8, 16]),
        capabilities=st.sets(st.sampled_from("xyz"), max_size=1).map(tuple),
        ids=st.sets(st.sampled_from("abc"), max_size=2).map(lambda found: tuple(sorted(found))),
        count=st.integers(1, 2),
    ),
    max_size=3,
)


@given(devices=DEVICES, asks=ASKS, used=st.dictionaries(st.sampled_from("abcdefg"), st.just(1)))
def test_there_is_an_answer_exactly_if_one_exists_and_it_is_right(devices, asks, used):
    units = [ask for ask in asks for _ in range(ask.count)]
    free = [
        device for device in devices if device.healthy and used.get(device.id, 0) < device.shares
    ]
    possible = any(
        all(not missing(ask, device) for ask, device in zip(units, way, strict=True))
        for way in permutations(free, len(units))
    )
    found = assign(asks, devices, used)
    assert (found is not None) is possible
    if found is not None:
        assert len({device.id for device in found}) == len(units)
        assert all(device in free for device in found)
        assert all(not missing(ask, device) for ask, device in zip(units, found, strict=True))
    assert assign(asks, list(reversed(devices)), used) == found, "the order of looking is no matter"
    assert bool(why_not(asks, devices)) is (assign(asks, devices) is None)


def test_many_devices_that_nearly_fit_are_handed_out_in_reasonable_time():
    devices = [gpu(f"{at:02}", capabilities=(f"c{at}", "any")) for at in range(60)]
    asks = [DeviceAsk(kind="gpu", capabilities=("any",), count=59)]
    asks += [DeviceAsk(kind="gpu", capabilities=("c0",))]
    assert len(assign(asks, devices)) == 60
    assert assign([*asks, DeviceAsk(kind="gpu")], devices) is None
