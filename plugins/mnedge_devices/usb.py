"""What is plugged into USB, hubs left out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device, Fingerprint
from mnedge.ports import DeviceProbe
from mnedge_devices.trees import driver_of, entries, number, text, told_apart

HUB = "09"


class Usb:
    """Reads `/sys/bus/usb/devices`."""

    name = "usb"

    def __init__(self, sys_root: str, dev_root: str) -> None:
        self._sys = Path(sys_root)
        self._dev = Path(dev_root)

    @property
    def watched(self) -> tuple[str, ...]:
        """The folder of each bus that is there now."""
        buses = self._dev / "bus/usb"
        return (str(buses), *(str(bus) for bus in entries(buses)))

    def probe(self) -> Fingerprint:
        """Return what is plugged in: by its serial number, else by the socket it is in."""
        found = []
        for folder in entries(self._sys / "bus/usb/devices"):
            vendor = text(folder / "idVendor").lower()
            if ":" in folder.name or not vendor or text(folder / "bDeviceClass") == HUB:
                continue
            product = text(folder / "idProduct").lower()
            maker, model = text(folder / "manufacturer"), text(folder / "product")
            bus, at = number(folder / "busnum"), number(folder / "devnum")
            node = self._dev / f"bus/usb/{bus:03}/{at:03}"
            found.append(
                Device(
                    id=f"usb-{vendor}:{product}-{text(folder / 'serial') or folder.name}",
                    kind="usb",
                    name=" ".join(word for word in (maker, model) if word),
                    vendor=vendor,
                    driver=driver_of(folder),
                    path=str(node),
                    capabilities=(f"{vendor}:{product}",),
                    healthy=node.exists(),
                )
            )
        return Fingerprint(devices=told_apart(found), capabilities=("usb",) if found else ())

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Return nothing: programs open the path."""
        return {}


@hookimpl
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Bring `usb`."""
    return [Usb(sys_root, dev_root)]
