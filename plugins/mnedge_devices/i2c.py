"""Buses of the I2C kind that programs may talk on."""

from collections.abc import Iterator
from pathlib import Path

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device
from mnedge.ports import DeviceProbe
from mnedge_devices.lines import Lines
from mnedge_devices.trees import driver_of, entries, parent_name, real, text


def read(sys_root: Path, dev_root: Path) -> Iterator[Device]:
    """Yield each bus that has a node."""
    for folder in entries(sys_root / "bus/i2c/devices", "i2c-"):
        node = dev_root / folder.name
        if not folder.name.removeprefix("i2c-").isdecimal() or not node.exists():
            continue  # without the module i2c-dev nobody can use it
        yield Device(
            id=f"i2c-{parent_name(folder, folder.name.removeprefix('i2c-'))}",
            kind="i2c",
            name=text(folder / "name"),
            driver=driver_of(real(folder).parent),
            path=str(node),
        )


@hookimpl
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Bring `i2c`."""
    return [Lines("i2c", read, sys_root, dev_root, "")]
