import fcntl
import os
import stat

import pytest

from mnedge_devices import camera
from tests.plugins.mnedge_devices.machine import Machine


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "machine")


@pytest.fixture
def probe(machine):
    (probe,) = camera.devices(*machine.roots)
    return probe


def test_a_camera_is_told_by_the_name_that_stays_with_maker_and_node(probe, machine):
    plugged = machine.usb("1-1", 2, "046D", "0825")
    machine.camera(0, plugged, "HD Webcam C270")
    machine.camera(1, plugged, index=1)
    machine.named("v4l/by-id/usb-046d_C270-video-index0", "video0")
    (found,) = probe.probe().devices
    assert (found.id, found.name) == ("usb-046d_C270-video-index0", "HD Webcam C270")
    assert (found.vendor, found.capabilities) == ("046d", ("capture", "usb"))
    assert found.path == str(machine.dev / "video0")


def test_a_camera_whose_node_is_not_there_is_unhealthy(probe, machine):
    machine.camera(0, machine.usb("1-1", 2, "046d", "0825"))
    machine.gone(machine.dev / "video0")
    assert [found.healthy for found in probe.probe().devices] == [False]


@pytest.mark.parametrize(
    "whole,own,captures",
    [
        (0x84A00001, 0x04200001, True),
        (0x84A00001, 0x04A00000, False),
        (0x1000, 0, True),
        (0x8000 | 0x1000, 0, False),
        (0x2, 0, False),
    ],
)
def test_a_node_that_can_be_asked_says_itself_whether_it_gives_pictures(
    probe, machine, monkeypatch, whole, own, captures
):
    asked = []

    def said(fd, request, answer):
        asked.append(fd)
        assert request == camera.QUERYCAP
        answer[:] = camera._CAPABILITY.pack(b"uvc", b"cam", b"usb", 1, whole, own)

    monkeypatch.setattr(stat, "S_ISCHR", lambda mode: True)
    monkeypatch.setattr(fcntl, "ioctl", said)
    machine.camera(0, machine.usb("1-1", 2, "046d", "0825"), index=3)
    files = os.listdir("/proc/self/fd")
    assert bool(probe.probe().devices) is captures
    assert bool(probe.probe().devices) is captures
    assert len(asked) == 1, "to ask again would wake the camera"
    assert len(os.listdir("/proc/self/fd")) == len(files)
