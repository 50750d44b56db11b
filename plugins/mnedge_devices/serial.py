"""Serial ports with something real behind them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device, Fingerprint
from mnedge.ports import DeviceProbe
from mnedge_devices.trees import above, driver_of, entries, links, text, told_apart


class Serial:
    """Reads `/sys/class/tty`; what udev calls a port (`/dev/serial/by-id`) is its id."""

    name = "serial"

    def __init__(self, sys_root: str, dev_root: str) -> None:
        self._sys = Path(sys_root)
        self._dev = Path(dev_root)
        self.watched: tuple[str, ...] = (dev_root, f"{dev_root}/serial/by-id")

    def probe(self) -> Fingerprint:
        """Return the ports; consoles, and sockets of a UART that nobody built in, are none."""
        named = {**links(self._dev / "serial/by-path"), **links(self._dev / "serial/by-id")}
        found = []
        for folder in entries(self._sys / "class/tty", "tty"):
            if not (folder / "device").exists() or text(folder / "type") == "0":
                continue
            node = self._dev / folder.name
            usb = above(folder / "device", "idVendor", self._sys)
            found.append(
                Device(
                    id=named.get(os.path.realpath(node), folder.name),
                    kind="serial",
                    name=text(usb / "product") if usb else "",
                    vendor=text(usb / "idVendor").lower() if usb else "",
                    driver=driver_of(folder / "device"),
                    path=str(node),
                    capabilities=("usb",) if usb else (),
                    healthy=node.exists(),
                )
            )
        return Fingerprint(devices=told_apart(found), capabilities=("serial",) if found else ())

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Return nothing: programs open the path."""
        return {}


@hookimpl
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Bring `serial`."""
    return [Serial(sys_root, dev_root)]
