"""Accelerators for neural networks that are no GPUs."""

from collections.abc import Iterator
from pathlib import Path

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device
from mnedge.ports import DeviceProbe
from mnedge_devices.lines import Lines
from mnedge_devices.trees import driver_of, entries, number, real

VENDORS = {0x8086: "intel", 0x1022: "amd", 0x1DA3: "habana", 0x1AC1: "google"}


def read(sys_root: Path, dev_root: Path) -> Iterator[Device]:
    """Yield what the kernel lists as an accelerator, and Coral's chips."""
    for kind, folder in (("accel", "accel"), ("apex", "")):
        for entry in entries(sys_root / "class" / kind, kind):
            node = dev_root / folder / entry.name
            device = entry / "device"
            vendor = VENDORS.get(number(device / "vendor", 16), "")
            yield Device(
                id=f"npu-{real(device).name}" if device.exists() else f"npu-{entry.name}",
                kind="npu",
                name=f"{vendor} {driver_of(device)}".strip(),
                vendor=vendor,
                driver=driver_of(device),
                path=str(node),
                healthy=node.exists(),
            )


@hookimpl
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Bring `npu`."""
    return [Lines("npu", read, sys_root, dev_root, "", "/accel")]
