"""A full or read-only disk: a clear error, nothing corrupted, and on it goes with new space."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.crash import Trial
from tests.live.forge import Forge

pytestmark = pytest.mark.live

SIZE = "3m"


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    forge = Forge()
    yield forge
    forge.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def trial(forge: Forge, disk: Path, tmp_path: Path) -> Trial:
    """A trial whose data directory and run folders lie on the small disk."""
    return Trial(forge, tmp_path, "closed_loop_lab", disk=disk)


@pytest.fixture(scope="module")
def unharmed(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    trial = Trial(forge, tmp_path_factory.mktemp("unharmed"), "closed_loop_lab")
    assert trial.run() == 0, trial.words()
    return trial


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", disk], check=True)


def test_a_full_disk_refuses_new_work_clearly_and_takes_it_when_space_is_back(
    trial: Trial, disk: Path, unharmed: Trial
) -> None:
    filler = fill(disk)
    assert trial.run() == 1
    words = trial.words()
    assert "full" in words or "no space" in words.lower(), words
    assert "Traceback" not in words
    filler.unlink()
    assert trial.run() == 0, trial.words()
    trial.check(unharmed)


def test_a_read_only_data_directory_is_named(trial: Trial, disk: Path, unharmed: Trial) -> None:
    remount(disk, "ro")
    assert trial.run() == 1
    words = trial.words()
    assert "read-only" in words.lower(), words
    assert str(trial.data_dir) in words, words
    assert "Traceback" not in words
    remount(disk, "rw")
    assert trial.run() == 0, trial.words()
    trial.check(unharmed)


@pytest.mark.parametrize("after_events", [10, 60])
def test_a_job_that_meets_a_full_disk_waits_and_goes_on(
    trial: Trial, disk: Path, unharmed: Trial, after_events: int
) -> None:
    pid = trial.begin()
    trial.until(lambda: trial.count_events() >= after_events, pid)
    filler = fill(disk)
    seen = trial.count_events()
    trial.pause(1.5)
    assert trial.alive(pid), trial.words()
    assert trial.count_events() <= seen + 12  # what was under way, and no more
    filler.unlink()
    assert trial.ended(pid) == 0, trial.words()
    trial.check(unharmed)


def test_a_job_killed_on_a_full_disk_is_recovered(
    trial: Trial, disk: Path, unharmed: Trial
) -> None:
    pid = trial.begin()
    trial.until(lambda: trial.count_events() >= 30, pid)
    filler = fill(disk)
    trial.pause(0.5)
    os.kill(pid, 9)
    assert trial.ended(pid) == -9
    filler.unlink()
    assert trial.recover() == 0, trial.words()
    trial.check(unharmed)
