"""Devices from the probe to the worker: a real daemon on a machine made of files."""

import json
import os
import signal
from pathlib import Path

import pytest
import trio

from tests.live.box import Box, until
from tests.plugins.mnedge_devices.machine import Machine, built_nvml, gpu_line

pytestmark = pytest.mark.live
SOON_S = 10.0
GPU = "GPU-00000000-0000-0000-0000-00000000000{}"


class Equipped(Box):
    """A machine with devices of its own, and a daemon that looks at them."""

    def __init__(self, folder: Path, nvml: Path) -> None:
        super().__init__(folder)
        self.machine = Machine(folder / "machine")
        self.gpus = folder / "gpus"
        self.log = folder / "log"
        self.config = folder / "config.yaml"
        sys_root, dev_root = self.machine.roots
        roots = f"{{sysRoot: {sys_root}, devRoot: {dev_root}}}"
        self.config.write_text(f"devices: {roots}\n")
        self.environ |= {
            "MNEDGE_CONFIG": str(self.config),
            "LD_LIBRARY_PATH": str(nvml),
            "FAKE_NVML": str(self.gpus),
        }

    def serve(self, **environ: str) -> None:
        """Start the daemon; what it says goes to a file."""
        self.daemon = self.start("daemon", **environ)
        until(self.said("mnedge daemon ready"))
        until(self.said("devices of this machine"))

    def said(self, text: str, times: int = 1):
        """Return what tells whether the daemon has said that."""
        return lambda: self.told().count(text) >= times

    def told(self) -> str:
        """Return what the daemon has said so far."""
        os.set_blocking(self.daemon.stderr.fileno(), False)
        try:
            new = os.read(self.daemon.stderr.fileno(), 1 << 20).decode()
        except BlockingIOError:
            new = ""
        with self.log.open("a") as file:
            file.write(new)
        return self.log.read_text()

    def devices(self) -> dict[str, dict[str, object]]:
        return {one["id"]: one for one in self.json("resource", "list")["devices"]}

    def events(self) -> list[dict[str, object]]:
        """Return the events of the newest run."""
        found = []
        for folder in self.runs():
            file = folder / "events.jsonl"
            if file.exists():
                found += [json.loads(line) for line in file.read_text().splitlines() if line]
        return found

    def of_type(self, name: str) -> list[dict[str, object]]:
        return [event for event in self.events() if event.get("type") == name]


@pytest.fixture
def box(tmp_path, tmp_path_factory):
    nvml = built_nvml(tmp_path_factory.getbasetemp() / "nvml")
    box = Equipped(tmp_path, nvml)
    yield box
    box.close()


def plug_in_camera(machine: Machine, at: int = 0) -> None:
    machine.camera(at, machine.usb("1-1", 2, "046d", "0825", serial="A1"), name="Webcam")


@pytest.mark.drives("mnedge resource show")
@pytest.mark.parametrize("with_daemon", [True, False])
def test_devices_are_listed_and_shown_one_by_one(box, with_daemon):
    box.gpus.write_text(gpu_line(0) + gpu_line(1, "NVIDIA H200"))
    plug_in_camera(box.machine)
    if with_daemon:
        box.serve()
    found = box.json("resource", "list")
    ids = [one["id"] for one in found["devices"]]
    assert ids == ["video0", GPU.format(0), GPU.format(1), "usb-046d:0825-A1"]
    assert found["totals"]["gpu_count"] == 2
    assert found["totals"]["gpu_memory_total_mb"] == 160 << 10
    assert {"gpu", "nvidia", "nvidia-h100", "nvidia-h200", "camera"} <= set(found["capabilities"])
    (node,) = box.json("node", "list")
    assert [one["id"] for one in node["hardware"]["gpu"]] == ids[1:3]
    listed = box.call("resource", "list").stdout
    assert "H200" in listed
    assert "80.0 GiB" in listed
    shown = box.json("resource", "show", GPU.format(1)[:-1] + "1")
    assert shown["driver_version"] == "550.54.15"
    assert shown["api_version"] == "12.4"
    assert "CUDA" not in box.call("resource", "show", "video").stdout


def test_what_a_worker_is_told_of_the_devices_it_was_lent(box):
    box.gpus.write_text(gpu_line(0) + gpu_line(1))
    plug_in_camera(box.machine)
    box.serve()
    asks = {"gpu_count": 1, "devices": [{"kind": "camera"}, {"kind": "gpu", "vendor": "NVIDIA"}]}
    lent = box.bundle("env > $MN_RUN_DIR/env", "lent", resources=asks)
    box.call("blueprint", "run", str(lent))
    told = environment(box.runs()[-1])
    assert told["CUDA_VISIBLE_DEVICES"] == GPU.format(0)
    assert told["MN_ALLOCATED_DEVICE_IDS"] == f"video0,{GPU.format(0)}"
    assert told["MNEDGE_DEVICE_CAMERA_PATHS"] == str(box.machine.dev / "video0")
    assert told["MN_GPU_DRIVER"] == "cuda"
    assert [one["kind"] for one in json.loads(told["MNEDGE_DEVICES"])] == ["camera", "gpu"]
    allocation = json.loads(told["MN_ALLOCATION_JSON"])
    assert [one["id"] for one in allocation["devices"]] == ["video0", GPU.format(0)]
    (acquired,) = box.of_type("executor_lease_acquired")
    assert acquired["payload"]["devices"] == ["video0", GPU.format(0)]
    assert box.devices()["video0"]["in_use"] == 0, "given back"


def test_a_worker_that_was_lent_no_gpu_sees_none(box):
    box.gpus.write_text(gpu_line(0))
    box.serve()
    box.call("blueprint", "run", str(box.bundle("env > $MN_RUN_DIR/env")))
    told = environment(box.runs()[-1])
    assert told["CUDA_VISIBLE_DEVICES"] == ""
    assert "ROCR_VISIBLE_DEVICES" not in told, "there is no GPU that heeds it"
    assert not [name for name in told if name.startswith(("MNEDGE_DEVICE", "MN_ALLOC"))]


def test_without_a_daemon_devices_are_lent_as_well(box):
    box.gpus.write_text(gpu_line(0))
    bundle = box.bundle("env > $MN_RUN_DIR/env", resources={"gpus": 1})
    box.call("blueprint", "run", str(bundle))
    assert environment(box.runs()[-1])["CUDA_VISIBLE_DEVICES"] == GPU.format(0)


def test_what_the_machine_never_has_is_refused_at_once_with_the_reason(box):
    box.gpus.write_text(gpu_line(0))
    box.serve()
    wanted = [{"kind": "gpu", "min_memory_mb": 100_000}]
    bundle = box.bundle("true", resources={"devices": wanted})
    done = box.call("blueprint", "run", str(bundle), code=1)
    assert "it has 81920 MiB" in done.stdout + done.stderr
    (rejected,) = box.of_type("executor_lease_rejected")
    assert rejected["payload"]["reason"] == "device_unavailable"


def test_two_jobs_that_want_one_gpu_have_it_one_after_the_other(box):
    box.gpus.write_text(gpu_line(0))
    box.serve()
    gate = box.folder / "gate"
    waits = box.bundle(f"while [ ! -e {gate} ]; do sleep 0.05; done", "a", resources={"gpus": 1})
    passes = box.bundle("true", "b", resources={"gpus": 1})
    box.call("blueprint", "run", str(waits), "--detach")
    until(lambda: box.of_type("executor_lease_acquired"))
    box.call("blueprint", "run", str(passes), "--detach")
    until(lambda: len(box.of_type("executor_lease_requested")) == 2)
    box.call("blueprint", "run", str(box.bundle("true", "c")))  # needs none, and need not wait
    assert box.devices()[GPU.format(0)]["in_use"] == 1
    assert len(box.of_type("executor_lease_acquired")) == 2
    gate.touch()
    until(lambda: len(box.of_type("executor_lease_released")) == 3)


def test_what_is_plugged_in_and_out_is_noticed(box):
    box.serve()
    assert box.devices() == {}
    plug_in_camera(box.machine)
    until(box.said("device appeared: camera video0"), SOON_S)
    until(box.said("device appeared: usb usb-046d:0825-A1"), SOON_S)
    assert set(box.devices()) == {"video0", "usb-046d:0825-A1"}
    box.machine.named("v4l/by-id/usb-webcam", "video0")
    until(box.said("device appeared: camera usb-webcam"), SOON_S)
    box.machine.gone(box.machine.sys / "class/video4linux/video0", box.machine.dev / "video0")
    until(box.said("device is gone: camera usb-webcam"), SOON_S)
    assert set(box.devices()) == {"usb-046d:0825-A1"}


def test_a_device_that_is_lost_while_it_is_lent_ends_the_attempt(box):
    plug_in_camera(box.machine)
    box.serve()
    asks = {"devices": [{"kind": "camera"}]}
    box.call("blueprint", "run", str(box.bundle("sleep 60", resources=asks)), "--detach")
    until(lambda: box.of_type("executor_lease_acquired"))
    box.machine.gone(box.machine.sys / "class/video4linux/video0", box.machine.dev / "video0")
    until(lambda: box.of_type("device_lost"), SOON_S)
    until(lambda: box.status() == "failed")
    text = box.call("job", "show", "last").stdout
    assert "device was lost while it was lent" in text
    assert box.devices()["video0"]["healthy"] is False
    assert box.devices()["video0"]["in_use"] == 0
    assert "device is gone while it is lent" in box.told()


def test_a_probe_that_fails_is_named_and_looked_at_again_at_sighup(box):
    box.gpus.write_text(gpu_line(0))
    box.serve()
    assert box.devices()[GPU.format(0)]["healthy"] is True
    box.gpus.write_text("init 18\n")
    box.daemon.send_signal(signal.SIGHUP)
    until(box.said("Driver/library version mismatch"), SOON_S)
    assert box.devices()[GPU.format(0)]["healthy"] is False
    assert "version mismatch" in box.call("resource", "list").stdout
    box.gpus.write_text(gpu_line(0))
    box.daemon.send_signal(signal.SIGHUP)
    until(box.said("device appeared: gpu"), SOON_S)
    assert box.devices()[GPU.format(0)]["healthy"] is True


def test_a_probe_that_hangs_keeps_nobody_waiting_for_long(box):
    box.gpus.write_text("hang\n")
    plug_in_camera(box.machine)
    box.serve()
    until(box.said("device probe nvidia: it did not answer within 5 s"))
    assert "video0" in box.devices()
    box.call("blueprint", "run", str(box.bundle("true")))
    box.daemon.send_signal(signal.SIGTERM)
    assert box.daemon.wait(20) == 0


def wakeups(pid: int) -> int:
    return sum(
        int(line.split()[1])
        for task in Path(f"/proc/{pid}/task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


async def test_watching_for_devices_wakes_nobody_while_nothing_happens(box):
    plug_in_camera(box.machine)
    box.gpus.write_text(gpu_line(0))
    await trio.to_thread.run_sync(box.serve)
    await trio.sleep(3)  # threads that looked end after 10 s, each with a wakeup of its own
    pause_s, before = 5.0, wakeups(box.daemon.pid)
    await trio.sleep(pause_s)
    assert wakeups(box.daemon.pid) - before <= 2 * pause_s


def environment(folder: Path) -> dict[str, str]:
    lines = (folder / "env").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}
