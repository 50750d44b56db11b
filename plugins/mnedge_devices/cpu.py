"""Processors: their model, features and memory nodes. They are shown, not lent."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mnedge.hookspecs import hookimpl
from mnedge.model.resources import Device, Fingerprint
from mnedge.ports import DeviceProbe
from mnedge_devices.trees import entries

FEATURES = {
    "sse4_2", "avx", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
    "avx_vnni", "amx_tile", "amx_int8", "amx_bf16", "fma", "f16c", "aes", "sha_ni",
    "neon", "asimd", "asimddp", "sve", "sve2", "i8mm", "bf16", "sha2", "atomics",
    "v", "zvfh",
}  # fmt: skip
"""Those that programs are built for; the rest would only be noise."""
_MODEL = ("model name", "Model", "uarch", "Hardware", "cpu model")
_VIRTUAL = ("vmx", "svm")


class Cpu:
    """Reads `/proc/cpuinfo` and the nodes of memory below `/sys`."""

    name = "cpu"
    watched: tuple[str, ...] = ()

    def __init__(self, sys_root: str) -> None:
        self._sys = Path(sys_root)

    def probe(self) -> Fingerprint:
        """Return one device for each socket."""
        sockets = _sockets(self._cpuinfo())
        nodes = entries(self._sys / "devices/system/node", "node")
        numa = [f"numa-{len(nodes)}"] if len(nodes) > 1 else []
        devices = []
        for at, (model, vendor, flags) in sorted(sockets.items()):
            known = sorted(_label(flag) for flag in flags & FEATURES)
            more = ["virtualization"] if flags.intersection(_VIRTUAL) else []
            devices.append(
                Device(
                    id=f"cpu-{at}",
                    kind="cpu",
                    name=model,
                    vendor=vendor,
                    index=at,
                    capabilities=(*known, *more, *numa),
                    shares=0,
                )
            )
        labels = {label for device in devices for label in device.capabilities}
        return Fingerprint(devices=tuple(devices), capabilities=tuple(sorted(labels)))

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Return nothing: processors are nobody's alone."""
        return {}

    def _cpuinfo(self) -> str:
        try:
            return (self._sys.parent / "proc/cpuinfo").read_text(errors="replace")
        except OSError:
            return ""


def _label(flag: str) -> str:
    return flag.replace("_", "-")


def _sockets(cpuinfo: str) -> dict[int, tuple[str, str, set[str]]]:
    """Return socket → model, vendor, flags."""
    found: dict[int, tuple[str, str, set[str]]] = {}
    trailing = _fields(cpuinfo.rstrip().rpartition("\n\n")[2])  # where ARM names the board
    for block in cpuinfo.split("\n\n"):
        fields = _fields(block)
        if "processor" not in fields:
            continue
        said = next((fields[name] for name in _MODEL if fields.get(name)), "")
        model = said or next((trailing[name] for name in _MODEL if trailing.get(name)), "")
        vendor = fields.get("vendor_id", "").removeprefix("Genuine").removeprefix("Authentic")
        flags = set((fields.get("flags") or fields.get("Features") or "").split())
        flags |= _riscv(fields.get("isa", ""))
        at = fields.get("physical id", "0")
        found.setdefault(int(at) if at.isdecimal() else 0, (model, vendor.lower(), flags))
    return found


def _riscv(isa: str) -> set[str]:
    found = re.match(r"rv(?:32|64)([a-z]*)", isa)
    return set(found[1]) | set(isa.split("_")[1:]) if found else set()


def _fields(block: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in block.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


@hookimpl
def devices(sys_root: str) -> list[DeviceProbe]:
    """Bring `cpu`."""
    return [Cpu(sys_root)]
