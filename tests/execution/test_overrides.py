import json

import pytest

from mnedge.execution.overrides import overridden, said_by
from mnedge.model.resources import Device

FOUND = [
    Device(id="GPU-aaaa", kind="gpu", vendor="nvidia", index=0, memory_total_mb=8),
    Device(id="GPU-bbbb", kind="gpu", vendor="nvidia", index=1, memory_total_mb=8),
    Device(id="card", kind="gpu", vendor="amd", index=0),
    Device(id="cam", kind="camera"),
]


def ids(environ, found=FOUND):
    said = said_by(environ)
    assert said.problems == ()
    return [device.id for device in overridden(found, said)]


def test_an_environment_that_says_nothing_changes_nothing():
    assert overridden(FOUND, said_by({"PATH": "/bin", "MN_NODE_GPU_COUNT": ""})) == tuple(FOUND)


def test_the_number_of_gpus_is_what_the_operator_says():
    assert ids({"MN_NODE_GPU_COUNT": "0"}) == ["cam"]
    assert ids({"MN_NODE_GPU_COUNT": "1"}) == ["cam", "GPU-aaaa"]
    assert ids({"MN_NODE_GPU_COUNT": "2"}, []) == ["gpu-0", "gpu-1"]


def test_what_is_said_of_gpus_is_true_of_each():
    said = said_by(
        {
            "MN_NODE_GPU_VENDOR": "NVIDIA",
            "MN_NODE_GPU_MODEL": "H200",
            "MN_NODE_GPU_DRIVER": "CUDA",
            "MN_NODE_GPU_MEMORY_TOTAL_MB": "141000",
            "MN_NODE_GPU_CAPABILITIES": "FP8, unified_memory",
        }
    )
    *gpus, camera = overridden(FOUND, said)
    assert {gpu.vendor for gpu in gpus} == {"nvidia"}
    assert {gpu.name for gpu in gpus} == {"H200"}
    assert {gpu.driver for gpu in gpus} == {"cuda"}
    assert {gpu.memory_total_mb for gpu in gpus} == {141000}
    assert gpus[0].capabilities == ("fp8", "unified-memory")
    assert camera == FOUND[-1]


@pytest.mark.parametrize(
    "visible,seen",
    [
        ("0", ["GPU-aaaa"]),
        ("GPU-bbbb", ["GPU-bbbb"]),
        ("GPU-b", ["GPU-bbbb"]),
        ("1,0", ["GPU-aaaa", "GPU-bbbb"]),
        ("", []),
        ("-1", []),
    ],
)
def test_what_cuda_may_see_is_an_upper_bound(visible, seen):
    assert ids({"CUDA_VISIBLE_DEVICES": visible}) == [*seen, "card", "cam"]


def test_each_maker_has_a_variable_of_its_own():
    assert ids({"ROCR_VISIBLE_DEVICES": ""}) == ["GPU-aaaa", "GPU-bbbb", "cam"]
    assert ids({"ZE_AFFINITY_MASK": "", "ROCR_VISIBLE_DEVICES": "0"}) == [
        device.id for device in FOUND
    ]


def test_the_whole_hardware_can_be_said():
    hardware = {
        "cpu": {"cores": 96, "model": "Grace"},
        "memory": {"total_mb": 1000},
        "disk": {"total_mb": 2000},
        "devices": [{"kind": "npu", "id": "n"}, {"name": "X"}],
        "capabilities": ["NVLink"],
    }
    environ = {"MN_NODE_HARDWARE_JSON": json.dumps(hardware)}
    said = said_by(environ)
    assert ids(environ) == ["n", "gpu-1"]
    assert (said.cpu_cores, said.cpu_model) == (96, "Grace")
    assert (said.memory_total_mb, said.disk_total_mb) == (1000, 2000)
    assert said.capabilities == ("nvlink",)


def test_single_words_win_over_the_whole():
    hardware = json.dumps({"cpu": {"cores": 96}})
    said = said_by(
        {
            "MN_NODE_HARDWARE_JSON": hardware,
            "MN_NODE_CPU_CORES": "2.5",
            "MN_NODE_CPU_MODEL": "Atom",
            "MN_NODE_MEMORY_TOTAL_MB": "512",
            "MN_NODE_DISK_TOTAL_MB": "1024",
            "MN_NODE_DISPLAY_NAME": "Hall 3",
            "MN_NODE_HOST_PATHS": "/a, /b",
            "MN_NODE_RUNTIME_DRIVERS": "docker_worker",
            "MN_NODE_CAPABILITIES": "Fast_Disk",
        }
    )
    assert (said.cpu_cores, said.cpu_model) == (2.5, "Atom")
    assert (said.memory_total_mb, said.disk_total_mb) == (512, 1024)
    assert said.display_name == "Hall 3"
    assert said.host_paths == ("/a", "/b")
    assert said.drivers == ("docker_worker",)
    assert said.capabilities == ("fast-disk",)


@pytest.mark.parametrize(
    "name,value,problem",
    [
        ("GPU_COUNT", "many", "MN_NODE_GPU_COUNT: 'many' is no number"),
        ("GPU_COUNT", "9999", "9999 is more than"),
        ("CPU_CORES", "-1", "MN_NODE_CPU_CORES"),
        ("MEMORY_TOTAL_MB", "nan", "MN_NODE_MEMORY_TOTAL_MB"),
        ("HARDWARE_JSON", "{", "MN_NODE_HARDWARE_JSON"),
        ("HARDWARE_JSON", "[]", "it is no object"),
        ("HARDWARE_JSON", '{"devices": [7]}', "devices[0]"),
        ("HARDWARE_JSON", '{"devices": [{"id": "a"}, {"id": "a"}]}', "two devices have one id"),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_says_nothing(name, value, problem):
    said = said_by({f"MN_NODE_{name}": value})
    (told,) = said.problems
    assert told.startswith("MN_NODE_")
    assert problem in told
    if name != "HARDWARE_JSON":
        assert overridden(FOUND, said) == tuple(FOUND)
