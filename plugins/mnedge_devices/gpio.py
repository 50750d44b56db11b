"""Chips with pins for general use."""

from collections.abc import Iterator
from pathlib import Path

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device
from mnedge.ports import DeviceProbe
from mnedge_devices.lines import Lines
from mnedge_devices.trees import driver_of, entries, parent_name, real, text


def read(sys_root: Path, dev_root: Path) -> Iterator[Device]:
    """Yield each chip, named by where it is: the kernel's numbers change from start to start."""
    for folder in entries(sys_root / "bus/gpio/devices", "gpiochip"):
        node = dev_root / folder.name
        behind = real(folder).parent
        yield Device(
            id=f"gpio-{parent_name(folder, folder.name)}",
            kind="gpio",
            name=text(folder / "label") or text(behind / "of_node/compatible") or folder.name,
            driver=driver_of(behind),
            path=str(node),
            healthy=node.exists(),
        )


@hookimpl
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Bring `gpio`."""
    return [Lines("gpio", read, sys_root, dev_root, "")]
