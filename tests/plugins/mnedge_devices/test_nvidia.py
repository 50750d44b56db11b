import ctypes

import pytest

from mnedge.model.resources import Device
from mnedge_devices.nvidia import Nvidia, NvmlError, devices, labels_of
from tests.plugins.mnedge_devices.machine import Machine, built_nvml, gpu_line


@pytest.fixture
def library(tmp_path_factory):
    return str(built_nvml(tmp_path_factory.getbasetemp() / "nvml") / "libnvidia-ml.so.1")


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    file = tmp_path / "gpus"
    monkeypatch.setenv("FAKE_NVML", str(file))
    return file


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "machine")


@pytest.fixture
def probe(machine, library):
    return Nvidia(*machine.roots, libraries=[library])


def test_a_gpu_is_told_with_all_that_the_driver_knows(probe, gpus, machine):
    gpus.write_text(gpu_line(0) + gpu_line(1, minor=5, mig=1))
    found = probe.probe()
    first, second = found.devices
    assert first == Device(
        id="GPU-00000000-0000-0000-0000-000000000000",
        kind="gpu",
        name="NVIDIA H100 80GB HBM3",
        vendor="nvidia",
        driver="cuda",
        driver_version="550.54.15",
        api_version="12.4",
        memory_total_mb=80 << 10,
        memory_free_mb=70 << 10,
        index=0,
        path=str(machine.dev / "nvidia0"),
        capabilities=("compute-9.0", "cuda", "gpu", "nvidia", "nvidia-h100"),
    )
    assert second.path == str(machine.dev / "nvidia5")
    assert "mig" in second.capabilities
    assert found.drivers == ("cuda",)
    assert first.type == "nvidia/gpu"


def test_the_library_is_closed_after_each_look_whatever_came_of_it(probe, gpus, library):
    gpus.write_text(gpu_line(0, "LOST"))
    assert probe.probe().devices == ()
    gpus.write_text("init 18\n")
    with pytest.raises(NvmlError, match="Driver/library version mismatch"):
        probe.probe()
    assert ctypes.CDLL(library).fake_opened() == 0


def test_without_a_driver_or_a_library_there_is_nothing(probe, machine, gpus):
    assert probe.probe().devices == (), "a library, and no driver"
    assert Nvidia(*machine.roots, libraries=["no-such-library.so"]).probe().devices == ()


def test_memory_that_is_the_machines_is_told_as_such(probe, gpus, machine):
    machine.write(machine.proc, meminfo="MemTotal:  131072000 kB\nMemAvailable: 1024000 kB")
    gpus.write_text(gpu_line(0, "NVIDIA GB10", total=-1, mig=-1))
    (gpu,) = probe.probe().devices
    assert (gpu.memory_total_mb, gpu.memory_free_mb) == (128000, 1000)
    assert gpu.unified_memory
    assert {"unified-memory", "nvidia-gb10", "nvidia-spark"} <= set(gpu.capabilities)


@pytest.mark.parametrize(
    "name,marker",
    [
        ("NVIDIA H200 NVL", "nvidia-h200"),
        ("NVIDIA B200", "nvidia-b200"),
        ("NVIDIA GB200", "nvidia-gb200"),
        ("NVIDIA DGX Spark", "nvidia-spark"),
    ],
)
def test_models_that_schedulers_ask_for_are_marked(name, marker):
    assert [label for label in labels_of(name) if label.startswith("nvidia-")] == [marker]


def test_any_other_gpu_has_no_marker():
    assert labels_of("NVIDIA GeForce RTX 4090") == ["gpu", "nvidia", "cuda"]


def test_workers_are_told_of_gpus_by_uuid_and_of_none_by_nothing(probe):
    lent = [Device(id="GPU-a", kind="gpu", index=3), Device(id="gpu-1", kind="gpu", index=1)]
    assert probe.environment(lent) == {"CUDA_VISIBLE_DEVICES": "GPU-a,1"}
    assert probe.environment(()) == {"CUDA_VISIBLE_DEVICES": ""}


def test_the_plugin_brings_the_probe():
    (probe,) = devices("/sys", "/dev")
    assert (probe.name, probe.watched) == ("nvidia", ("/dev",))
