"""The frozen executable: how big it is, how fast it starts, what its daemon holds while idle."""

import select
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import psutil
from programs import REPOSITORY, environment, program
from rows import Row
from workloads import scratch, spread

SHIPPED = REPOSITORY / "dist"
FIRST_STARTS = 5
ROUNDS = 15
SETTLE_S = 3.0
BARE = [sys.executable, "-I", "-S", "-c", "pass"]
CALLS = {"--version": 80, "--help": 80, "job list": None}
"""What is called, and the most milliseconds it may take."""


def main() -> list[Row]:
    """Return sizes, starts and memory of what `make binary` made, each beside its floor."""
    file, folder = SHIPPED / "mnedge", SHIPPED / "onedir" / "mnedge" / "mnedge"
    if not file.is_file():
        print("bench binary: nothing there to measure; `make binary` makes it", file=sys.stderr)
        return []
    with scratch() as place:
        environ = environment(place, MNEDGE_RUNTIME_DIR=str(place / "runtime"))
        del environ["PYTHONPATH"]
        return [
            *_sizes(file, folder.parent),
            _first(file, place, environ),
            *_later(file, folder, environ),
            _idle(file, folder, environ),
        ]


def _sizes(file: Path, folder: Path) -> list[Row]:
    unpacked = sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file())
    return [
        Row(
            "binary: the one file",
            file.stat().st_size / 1e6,
            "MB",
            unpacked / 1e6,
            budget=25,
            less_is_better=True,
            note="floor: unpacked",
        )
    ]


def _first(file: Path, place: Path, environ: Mapping[str, str]) -> Row:
    """Measure a start that unpacks, beside tar that unpacks the same."""
    (tarball,) = SHIPPED.glob("mnedge-[0-9]*.tar.gz")
    took: dict[str, list[float]] = {"first": [], "tar": []}
    for _ in range(FIRST_STARTS):
        for name in took:
            target = place / "unpacked"
            target.mkdir()
            words = {
                "first": [str(file), "--version"],
                "tar": ["tar", "-xf", str(tarball), "-C", str(target)],
            }[name]
            took[name].append(_ms(words, {**environ, "MNEDGE_RUNTIME_DIR": str(target)}))
            shutil.rmtree(target)
    return Row(
        "binary --version, first start",
        median(took["first"]),
        "ms",
        median(took["tar"]),
        less_is_better=True,
        note=f"min/median/max {spread(took['first'])}; on disk when it starts; floor: tar -x",
    )


def _later(file: Path, folder: Path, environ: Mapping[str, str]) -> list[Row]:
    programs: dict[str, list[str]] = {"bare": BARE}
    for call in CALLS:
        programs[call] = [str(file), *call.split()]
        programs[f"folder {call}"] = [str(folder), *call.split()]
    took: dict[str, list[float]] = {name: [] for name in programs}
    for words in programs.values():
        _ms(words, environ)
    for _ in range(ROUNDS):  # in turns, so that all meet the same neighbours
        for name, words in programs.items():
            took[name].append(_ms(words, environ))
    rows = [
        Row(
            f"binary {call}, later starts",
            median(took[call]),
            "ms",
            median(took["bare"]),
            budget=most_ms,
            less_is_better=True,
            note=f"min/median/max {spread(took[call])}; floor: python -I -S -c pass",
        )
        for call, most_ms in CALLS.items()
    ]
    stub = [file_ms - plain_ms for file_ms, plain_ms in zip(*_pair(took), strict=True)]
    return [
        *rows,
        Row(
            "binary: what the stub adds to a start",
            median(stub),
            "ms",
            budget=10,
            less_is_better=True,
            note=f"over the plain folder, which takes {median(took['folder --version']):.0f} ms",
        ),
    ]


def _pair(took: Mapping[str, list[float]]) -> tuple[list[float], list[float]]:
    return took["--version"], took["folder --version"]


def _idle(file: Path, folder: Path, environ: Mapping[str, str]) -> Row:
    """Measure a daemon that does nothing, beside the bare interpreter that came along."""
    python = folder.parent / "_internal" / "python" / "bin" / "python3"
    wait = "import sys, signal; sys.stderr.write('ready\\n'); sys.stderr.flush(); signal.pause()"
    with (
        program([str(file), "daemon"], environ) as daemon,
        program([str(python), "-I", "-S", "-c", wait], environ) as floor,
    ):
        select.select([], [], [], SETTLE_S)
        held = [psutil.Process(pid).memory_info().rss / 1e6 for pid in (daemon.pid, floor.pid)]
    return Row(
        "binary daemon: idle RSS",
        held[0],
        "MB",
        held[1],
        budget=60,
        less_is_better=True,
        note="floor: its bare interpreter",
    )


def _ms(words: Sequence[str], environ: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(words, env=dict(environ), stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1e3
