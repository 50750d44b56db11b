"""Things with a node each and little to tell: pins, buses, accelerators, sound cards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from mnedge.model.resources import Device, Fingerprint
from mnedge_devices.trees import told_apart

Read = Callable[[Path, Path], Iterable[Device]]
"""(below `/sys`, below `/dev`) → what is there."""


class Lines:
    """A probe made of one function."""

    def __init__(self, name: str, read: Read, sys_root: str, dev_root: str, *watched: str) -> None:
        self.name = name
        self.watched: tuple[str, ...] = tuple(f"{dev_root}{below}" for below in watched)
        self._read = read
        self._sys = Path(sys_root)
        self._dev = Path(dev_root)

    def probe(self) -> Fingerprint:
        """Return what is there, each with an id of its own."""
        found = told_apart(self._read(self._sys, self._dev))
        return Fingerprint(devices=found, capabilities=(self.name,) if found else ())

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Return nothing: programs open the path."""
        return {}
