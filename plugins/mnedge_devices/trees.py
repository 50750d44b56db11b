"""The kernel's files as the probes read them: what is missing or torn reads as nothing."""

import os
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from mnedge.model.resources import Device

_LONGEST = 4096


def text(file: Path) -> str:
    """Return what a small file says, in one line; empty if it cannot be read."""
    try:
        with file.open("rb") as opened:
            said = opened.read(_LONGEST)
    except OSError:
        return ""
    return " ".join(said.decode(errors="replace").replace("\0", " ").split())


def number(file: Path, scale: int = 10) -> int:
    """Return the whole number in a file; 0 if there is none."""
    try:
        return max(int(text(file), scale), 0)
    except ValueError:
        return 0


def entries(folder: Path, prefix: str = "") -> list[Path]:
    """Return what is in a folder, by name, numbers in their order; nothing if it is not there."""
    try:
        found = [folder / name for name in os.listdir(folder) if name.startswith(prefix)]
    except OSError:
        return []
    return sorted(found, key=lambda path: (len(path.name), path.name))


def real(path: Path) -> Path:
    """Return where a link leads."""
    return Path(os.path.realpath(path))


def driver_of(device: Path) -> str:
    """Return the name of the kernel's driver of a device."""
    link = device / "driver"
    return real(link).name if link.exists() else ""


def above(device: Path, marker: str, root: Path) -> Path | None:
    """Return the nearest folder at or above a device, below the root, that has such a file."""
    place, top = real(device), real(root)
    while place != top and place != place.parent:
        if (place / marker).exists():
            return place
        place = place.parent
    return None


def links(folder: Path) -> dict[str, str]:
    """Return device node → the name of a link to it, of a folder of stable names."""
    found: dict[str, str] = {}
    for link in entries(folder):
        found.setdefault(str(real(link)), link.name)
    return found


def parent_name(device: Path, fallback: str) -> str:
    """Return what the bus calls the hardware behind a device, which stays the same."""
    behind = real(device).parent
    while behind.name in ("gpio", "i2c-adapter", "sound", "accel", "drm", "apex"):
        behind = behind.parent
    plain = behind.name in ("", "devices", "platform", "virtual", "class")
    return fallback if plain else behind.name


def told_apart(devices: Iterable[Device]) -> tuple[Device, ...]:
    """Return the devices, each with an id of its own: makers give many the same serial number."""
    found: dict[str, Device] = {}
    for device in devices:
        own, count = device.id, 2
        while own in found:
            own, count = f"{device.id}#{count}", count + 1
        found[own] = replace(device, id=own)
    return tuple(found.values())
