"""AMD's GPUs, as the kernel's graphics drivers tell of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device, Fingerprint
from mnedge.ports import DeviceProbe
from mnedge_devices.graphics import cards
from mnedge_devices.trees import number, told_apart

VENDOR = 0x1002


class Amd:
    """Reads `/sys/class/drm`."""

    name = "amd"

    def __init__(self, sys_root: str, dev_root: str) -> None:
        self._sys = Path(sys_root)
        self._dev = Path(dev_root)
        self.watched: tuple[str, ...] = (f"{dev_root}/dri", dev_root)

    def probe(self) -> Fingerprint:
        """Return the GPUs that this vendor made."""
        rocm = (self._dev / "kfd").exists()
        found = []
        for at, card in enumerate(cards(self._sys, self._dev, VENDOR)):
            total, used = (number(card.device / f"mem_info_vram_{it}") for it in ("total", "used"))
            unique = number(card.device / "unique_id", 16)
            labels = {"gpu", "amd", card.driver or "amdgpu"} | ({"rocm"} if rocm else set())
            found.append(
                Device(
                    id=f"GPU-{unique:016x}" if unique else card.address,
                    kind="gpu",
                    name=card.name or "AMD GPU",
                    vendor="amd",
                    driver="rocm" if rocm else card.driver,
                    driver_version=card.driver_version,
                    memory_total_mb=total >> 20,
                    memory_free_mb=(total - used) >> 20 if total >= used > 0 else None,
                    index=at,
                    path=card.path,
                    capabilities=tuple(sorted(labels)),
                    healthy=card.openable,
                )
            )
        devices = told_apart(found)
        labels = {label for device in devices for label in device.capabilities}
        return Fingerprint(
            devices=devices,
            capabilities=tuple(sorted(labels)),
            drivers=("rocm",) if rocm and devices else (),
        )

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Return the GPUs as ROCm names them; empty hides all."""
        by_id = all(device.id.startswith("GPU-") and "#" not in device.id for device in lent)
        names = [device.id if by_id else str(device.index) for device in lent]
        return {"ROCR_VISIBLE_DEVICES": ",".join(names)}


@hookimpl
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Bring `amd`."""
    return [Amd(sys_root, dev_root)]
