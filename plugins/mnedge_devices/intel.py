"""Intel's GPUs, as the kernel's graphics drivers tell of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device, Fingerprint
from mnedge.ports import DeviceProbe
from mnedge_devices.graphics import Card, cards
from mnedge_devices.trees import entries, number, told_apart

VENDOR = 0x8086


class Intel:
    """Reads `/sys/class/drm`."""

    name = "intel"

    def __init__(self, sys_root: str, dev_root: str) -> None:
        self._sys = Path(sys_root)
        self._dev = Path(dev_root)
        self.watched: tuple[str, ...] = (f"{dev_root}/dri",)

    def probe(self) -> Fingerprint:
        """Return the GPUs that this vendor made; one without memory of its own shares the
        machine's."""
        found = []
        for at, card in enumerate(cards(self._sys, self._dev, VENDOR)):
            total = _memory(card)
            labels = {"gpu", "intel", card.driver or "i915"}
            labels |= set() if total else {"unified-memory"}
            found.append(
                Device(
                    id=card.address,
                    kind="gpu",
                    name=card.name or "Intel GPU",
                    vendor="intel",
                    driver=card.driver,
                    driver_version=card.driver_version,
                    memory_total_mb=total >> 20,
                    unified_memory=not total,
                    index=at,
                    path=card.path,
                    capabilities=tuple(sorted(labels)),
                    healthy=card.openable,
                )
            )
        devices = told_apart(found)
        labels = {label for device in devices for label in device.capabilities}
        return Fingerprint(devices=devices, capabilities=tuple(sorted(labels)))

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Return the GPUs by number; nothing hides them all from this vendor's library."""
        return {"ZE_AFFINITY_MASK": ",".join(str(device.index) for device in lent)} if lent else {}


def _memory(card: Card) -> int:
    told = number(card.folder / "lmem_total_bytes")
    tiles = entries(card.device, "tile")
    return told or sum(number(tile / "physical_vram_size_bytes", 0) for tile in tiles)


@hookimpl
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Bring `intel`."""
    return [Intel(sys_root, dev_root)]
