"""Graphics cards as the kernel lists them, whoever made them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mnedge_devices.trees import driver_of, entries, number, real, text


class Card(NamedTuple):
    """One card with a device on a bus behind it."""

    folder: Path
    device: Path
    address: str
    """Where it is on the bus, which stays the same: `0000:03:00.0`."""
    name: str
    driver: str
    driver_version: str
    path: str
    """The node by which programs compute; it needs no screen."""
    openable: bool


def cards(sys_root: Path, dev_root: Path, vendor: int) -> Iterator[Card]:
    """Yield the cards of a vendor in the order of the bus."""
    found = []
    for folder in entries(sys_root / "class/drm", "card"):
        device = folder / "device"
        if not re.fullmatch(r"card\d+", folder.name) or number(device / "vendor", 16) != vendor:
            continue
        render = [node.name for node in entries(device / "drm", "renderD")]
        node = dev_root / "dri" / (render[0] if render else folder.name)
        driver = driver_of(device)
        found.append(
            Card(
                folder=folder,
                device=device,
                address=real(device).name,
                name=text(device / "product_name") or text(device / "label"),
                driver=driver,
                driver_version=text(device / "driver/module/version"),
                path=str(node),
                openable=node.exists(),
            )
        )
    yield from sorted(found, key=lambda card: card.address)
