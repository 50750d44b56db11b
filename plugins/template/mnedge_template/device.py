"""`sensors`: the thermometers that the kernel knows of.

An agent asks for one with `"resources": {"devices": [{"kind": "sensor"}]}`; many may read it at the
same time.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mnedge.model.resources import Device, Fingerprint


class Sensors:
    """Finds chips below `class/hwmon` that measure a temperature."""

    name = "sensors"

    def __init__(self, sys_root: str) -> None:
        self._folder = Path(sys_root) / "class" / "hwmon"
        self.watched: tuple[str, ...] = (str(self._folder),)

    def probe(self) -> Fingerprint:
        """Look, in a thread; what cannot be read is left out."""
        found = [device for chip in self._chips() if (device := _device(chip)) is not None]
        found.sort(key=lambda device: device.id)
        labels = ("temperature",) if found else ()
        return Fingerprint(devices=tuple(found), capabilities=labels)

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Tell a worker where the thermometers stand that it was lent."""
        return {"SENSOR_PATHS": ",".join(device.path for device in lent)} if lent else {}

    def _chips(self) -> list[Path]:
        try:
            return sorted(self._folder.iterdir())
        except OSError:
            return []  # this kernel has none


def _device(chip: Path) -> Device | None:
    try:
        int((chip / "temp1_input").read_text())
        kind = (chip / "name").read_text().strip()
    except (OSError, ValueError):
        return None
    if not kind or not kind.isprintable() or "," in kind:
        return None
    # `hwmon3` may be another chip after the next start; where it hangs stays.
    place = (chip / "device").resolve().name if (chip / "device").exists() else chip.name
    return Device(
        id=f"{kind}@{place}",
        kind="sensor",
        name=kind,
        path=str(chip / "temp1_input"),
        capabilities=("temperature",),
        shares=0,
    )
