"""Sound cards: what hears, and what sounds."""

from collections.abc import Iterator
from pathlib import Path

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device
from mnedge.ports import DeviceProbe
from mnedge_devices.lines import Lines
from mnedge_devices.trees import driver_of, entries, number, text


def read(sys_root: Path, dev_root: Path) -> Iterator[Device]:
    """Yield each card; its capabilities say whether it hears (`capture`) or sounds."""
    sound = sys_root / "class/sound"
    for folder in entries(sound, "card"):
        at = folder.name.removeprefix("card")
        if not at.isdecimal():
            continue
        streams = [entry.name for entry in entries(sound, f"pcmC{at}D")]
        hears = any(name.endswith("c") for name in streams)
        sounds = any(name.endswith("p") for name in streams)
        node = dev_root / "snd" / f"controlC{at}"
        yield Device(
            id=f"audio-{text(folder / 'id') or at}",
            kind="audio",
            name=text(folder / "id"),
            driver=driver_of(folder / "device"),
            index=number(folder / "number") or int(at),
            path=str(node),
            capabilities=("capture",) * hears + ("playback",) * sounds,
            healthy=node.exists(),
        )


@hookimpl
def devices(sys_root: str, dev_root: str) -> list[DeviceProbe]:
    """Bring `audio`."""
    return [Lines("audio", read, sys_root, dev_root, "/snd")]
