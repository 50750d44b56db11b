from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.model.resources import (
    Device,
    DeviceAsk,
    asks_of,
    assign,
    missing,
    why_not,
    with_markers,
)


def gpu(name, memory_mb=80_000, **more):
    return Device(
        id=name,
        kind="gpu",
        memory_total_mb=memory_mb,
        **{"vendor": "nvidia", "driver": "cuda", "api_version": "12.4", **more},
    )


H100, SMALL = gpu("h100"), gpu("small", 8_000)
CAMERA = Device(id="cam", kind="camera", capabilities=("capture",))


@pytest.mark.parametrize(
    "ask",
    [
        {"kind": "GPU"},
        {"type": "Nvidia/GPU"},
        {"kind": "gpu", "type": "nvidia/gpu", "driver": "CUDA"},
        {"kind": "gpu", "vendor": "NVIDIA"},
        {"kind": "gpu", "min_memory_mb": 80_000},
        {"kind": "gpu", "min_memory_mb": 80_000, "memory_operator": "=="},
        {"kind": "gpu", "min_api_version": "12.4"},
        {"kind": "gpu", "min_api_version": "9.10"},
        {"kind": "gpu", "min_api_version": "12.4.0", "api_version_operator": "=="},
        {"ids": ("h100", "other")},
    ],
)
def test_a_device_that_is_what_is_asked_for_is_found(ask):
    assert missing(DeviceAsk(**ask), H100) == ""


@pytest.mark.parametrize(
    "ask,why",
    [
        ({"kind": "camera"}, "it is a gpu"),
        ({"type": "amd/gpu"}, "it is a gpu"),
        ({"kind": "gpu", "vendor": "amd"}, "its vendor is nvidia"),
        ({"kind": "gpu", "driver": "rocm"}, "its driver is cuda"),
        ({"kind": "gpu", "min_memory_mb": 80_001}, "it has 80000 MiB"),
        ({"kind": "gpu", "min_memory_mb": 80_000, "memory_operator": ">"}, "it has 80000 MiB"),
        ({"kind": "gpu", "min_api_version": "12.10"}, "its API version is 12.4"),
        ({"kind": "gpu", "capabilities": ("fp8",)}, "it has no fp8"),
        ({"kind": "gpu", "ids": ("H100",)}, "its id is another"),
    ],
)
def test_a_device_that_is_not_says_why(ask, why):
    assert missing(DeviceAsk(**ask), H100) == why


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


@pytest.mark.parametrize(
    "resources,config,asks",
    [
        ({}, {}, []),
        ({"gpu_count": 0}, {"gpu": False}, []),
        ({"gpu_count": 2}, {}, [DeviceAsk(kind="gpu", count=2)]),
        ({}, {"gpus": "1"}, [DeviceAsk(kind="gpu")]),
        ({}, {"gpu": True}, [DeviceAsk(kind="gpu")]),
        ({}, {"resources": {"gpu": 1.0}}, [DeviceAsk(kind="gpu")]),
        ({"nvidia.com/gpu": 2}, {}, [DeviceAsk(kind="gpu", vendor="nvidia", count=2)]),
        ({"nvidia.com/gpu": 1, "gpus": 1}, {}, [DeviceAsk(kind="gpu", vendor="nvidia")]),
        ({}, {"execution_profile": "customer-service-voice-nvidia"}, [DeviceAsk(kind="gpu")]),
        ({}, {"profile": "standard_run_store"}, []),
        ({"gpu_count": 0}, {"profile": "gpu"}, []),
        ({}, {"devices": ["a sensor of its own"], "gpu": "as the agent likes", "gpus": None}, []),
        (
            {"gpu_count": 1, "devices": [{"kind": "gpu", "type": "nvidia/gpu", "driver": "cuda"}]},
            {"gpu_count": 1, "execution_profile": "nvidia-accelerated-voice"},
            [DeviceAsk(kind="gpu", type="nvidia/gpu", driver="cuda")],
        ),
        (
            {"gpu_count": 2, "devices": [{"kind": "gpu", "min_memory_mb": 24_000}]},
            {},
            [DeviceAsk(kind="gpu", min_memory_mb=24_000), DeviceAsk(kind="gpu")],
        ),
        (
            {},
            {
                "resources": {
                    "devices": [
                        {
                            "type": "camera",
                            "capabilities": ["capture"],
                            "ids": ["a"],
                            "count": 2,
                            "memory_operator": "=",
                            "min_api_version": 2,
                        }
                    ]
                }
            },
            [
                DeviceAsk(
                    type="camera",
                    capabilities=("capture",),
                    ids=("a",),
                    count=2,
                    memory_operator="==",
                    min_api_version="2",
                )
            ],
        ),
    ],
)
def test_what_an_agent_asks_for_is_read_wherever_it_says_so(resources, config, asks):
    assert list(asks_of(resources, config)) == asks


@pytest.mark.parametrize(
    "resources,where",
    [
        ({"gpu_count": -1}, "resources.gpu_count is -1"),
        ({"gpu_count": "many"}, "resources.gpu_count is 'many'"),
        ({"nvidia.com/gpu": 1.5}, "resources.nvidia.com/gpu"),
        ({"devices": {}}, "resources.devices is no list"),
        ({"devices": ["gpu"]}, r"resources.devices\[0\] is no object"),
        ({"devices": [{}]}, r"resources.devices\[0\] names no kind"),
        ({"devices": [{"kind": "gpu", "count": 0}]}, "count is 0"),
        ({"devices": [{"kind": "gpu", "memory_operator": "<"}]}, "memory_operator is '<'"),
        ({"devices": [{"kind": "gpu", "min_memory_mb": "8"}]}, "min_memory_mb is '8'"),
        ({"devices": [{"kind": ["gpu"]}]}, "kind is"),
        ({"devices": [{"kind": "gpu", "ids": "a"}]}, "ids is no list"),
    ],
)
def test_an_ask_that_cannot_be_read_is_named(resources, where):
    with pytest.raises(ValueError, match=where):
        asks_of(resources, {})


def test_labels_are_spelled_one_way():
    assert with_markers(["GPU", "Unified_Memory", "", "gpu"]) == ("gpu", "unified-memory")
