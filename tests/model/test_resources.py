import pytest

from mnedge.model.resources import Device, DeviceAsk, missing, with_markers

H100 = Device(
    id="h100",
    kind="gpu",
    memory_total_mb=80_000,
    vendor="nvidia",
    driver="cuda",
    api_version="12.4",
)


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


def test_labels_are_spelled_one_way():
    assert with_markers(["GPU", "Unified_Memory", "", "gpu"]) == ("gpu", "unified-memory")
