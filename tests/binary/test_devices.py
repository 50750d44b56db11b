"""Devices in the shipped file: found, listed, and told to a worker."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.live.box import Box
from tests.plugins.mnedge_devices.machine import Machine, built_nvml, gpu_line

pytestmark = pytest.mark.live
GPU = "GPU-00000000-0000-0000-0000-000000000000"


@pytest.fixture
def equipped(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, runtime: Path):
    """The environment of a machine with a GPU and a camera."""
    machine = Machine(tmp_path / "machine")
    machine.camera(0, machine.usb("1-1", 2, "046d", "0825", serial="A1"), name="Webcam")
    (tmp_path / "gpus").write_text(gpu_line(0))
    sys_root, dev_root = machine.roots
    config = tmp_path / "config.yaml"
    config.write_text(f"devices: {{sysRoot: {sys_root}, devRoot: {dev_root}}}\n")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "MN_HOME": str(tmp_path / "mn"),
        "MNEDGE_CONFIG": str(config),
        "MNEDGE_RUNTIME_DIR": str(runtime),
        "LD_LIBRARY_PATH": str(built_nvml(tmp_path_factory.getbasetemp() / "nvml")),
        "FAKE_NVML": str(tmp_path / "gpus"),
    }


def called(binary: Path, environ: dict[str, str], *words: str) -> str:
    done = subprocess.run([binary, *words], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_probes_came_along_and_find_what_is_there(binary, equipped):
    found = json.loads(called(binary, equipped, "resource", "list", "--json"))
    assert {one["kind"] for one in found["devices"]} >= {"camera", "gpu", "usb"}
    assert [one for one in found["probes"] if one["problem"]] == []
    names = {one["name"] for one in found["probes"]}
    assert names >= {"amd", "audio", "camera", "cpu", "gpio", "i2c", "intel", "npu"}
    assert names >= {"nvidia", "serial", "usb"}
    shown = called(binary, equipped, "resource", "show", GPU)
    assert "550.54.15" in shown


def test_a_worker_is_told_of_the_gpu_that_it_was_lent(binary, equipped, tmp_path):
    bundle = Box(tmp_path).bundle("echo lent $CUDA_VISIBLE_DEVICES", resources={"gpus": 1})
    called(binary, equipped, "blueprint", "run", str(bundle))
    (folder,) = (tmp_path / "mn" / "runs").iterdir()
    assert f"lent {GPU}" in (folder / "events.jsonl").read_text()
