"""Cameras: nodes of Video4Linux that give pictures."""

import fcntl
import os
import stat
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device, Fingerprint
from mnedge.ports import DeviceProbe
from mnedge_devices.trees import above, driver_of, entries, links, number, text, told_apart

QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_CAPTURE, _BOTH_WAYS, _PER_NODE = 0x1 | 0x1000, 0x8000 | 0x4000, 0x80000000


class Camera:
    """Reads `/sys/class/video4linux`, and asks the nodes that may be opened what they are."""

    name = "camera"

    def __init__(self, sys_root: str, dev_root: str) -> None:
        self._sys = Path(sys_root)
        self._dev = Path(dev_root)
        self.watched: tuple[str, ...] = (dev_root, f"{dev_root}/v4l/by-id")
        self._asked: dict[tuple[str, int, int], bool] = {}
        """What nodes said of themselves: to ask again would wake the camera."""

    def probe(self) -> Fingerprint:
        """Return the cameras; one that has a second node for notes about its pictures is one."""
        named = {**links(self._dev / "v4l/by-path"), **links(self._dev / "v4l/by-id")}
        found = []
        for folder in entries(self._sys / "class/video4linux", "video"):
            node = self._dev / folder.name
            captures = self._captures(node)
            if captures is False or (captures is None and number(folder / "index") != 0):
                continue
            usb = above(folder / "device", "idVendor", self._sys)
            found.append(
                Device(
                    id=named.get(os.path.realpath(node), folder.name),
                    kind="camera",
                    name=text(folder / "name"),
                    vendor=text(usb / "idVendor").lower() if usb else "",
                    driver=driver_of(folder / "device"),
                    path=str(node),
                    capabilities=("capture", "usb") if usb else ("capture",),
                    healthy=node.exists(),
                )
            )
        return Fingerprint(devices=told_apart(found), capabilities=("camera",) if found else ())

    def _captures(self, node: Path) -> bool | None:
        """Tell whether the node gives pictures; None if it cannot be asked."""
        with suppress(OSError):
            told = node.stat()
            if stat.S_ISCHR(told.st_mode):
                own = (node.name, told.st_ino, told.st_rdev)
                if own not in self._asked:
                    self._asked[own] = _gives_pictures(node)
                return self._asked[own]
        return None

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Return nothing: programs open the path."""
        return {}


def _gives_pictures(node: Path) -> bool:
    fd = os.open(node, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        said = bytearray(_CAPABILITY.size)
        fcntl.ioctl(fd, QUERYCAP, said)
    finally:
        os.close(fd)
    *_, whole, own = _CAPABILITY.unpack(said)
    able = own if whole & _PER_NODE else whole
    return bool(able & _CAPTURE) and not able & _BOTH_WAYS


@hookimpl
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Bring `camera`."""
    return [Camera(sys_root, dev_root)]
