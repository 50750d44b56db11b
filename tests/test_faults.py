"""Fault points: armed by name, counted, and free when nobody armed them."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mnedge import faults


def test_nothing_happens_at_a_place_that_nobody_armed():
    for point in faults.POINTS:
        faults.hit(point)


def test_only_the_named_visit_fails():
    with faults.armed("spawn.before:2:raise"):
        faults.hit("spawn.before")
        with pytest.raises(faults.InjectedFaultError, match=r"visit 2 of spawn\.before"):
            faults.hit("spawn.before")
        faults.hit("spawn.before")
    faults.hit("spawn.before")


def test_a_lasting_fault_fails_from_its_visit_on():
    with faults.armed("spawn.after:2+:enospc, spawn.before:1:raise"):
        faults.hit("spawn.after")
        for _ in range(3):
            with pytest.raises(OSError, match="no space left"):
                faults.hit("spawn.after")


@pytest.mark.parametrize(
    "text,said",
    [
        ("spawn.befor:1:kill", "no fault point is called"),
        ("spawn.before:0:kill", "visit number"),
        ("spawn.before", "visit number"),
        ("spawn.before:1:explode", "no action is called"),
    ],
)
def test_a_wrong_text_is_refused_by_name(text, said):
    with pytest.raises(faults.FaultInvalidError, match=said):
        faults.parse(text)


def test_an_unregistered_place_is_an_error_while_anything_is_armed():
    with (
        faults.armed("spawn.before:9:raise"),
        pytest.raises(faults.FaultInvalidError, match=r"journal\.append\.before"),
    ):
        faults.hit("spawn.beneath")


def test_an_unsafe_flag_is_read_from_the_environment(monkeypatch):
    assert not faults.flag("journal_first_off")
    monkeypatch.setenv("MNEDGE_UNSAFE", "journal_first_off")
    assert faults.flag("journal_first_off")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not faults.flag("journal_first_off")
    with pytest.raises(faults.FaultInvalidError):
        faults.flag("seat_belts_off")


def test_every_place_that_the_program_names_is_registered():
    folder = Path(faults.__file__).parent
    named = {
        name
        for module in folder.rglob("*.py")
        for name in re.findall(r'(?:faults\.hit\(|after=)"([a-z_.]+)"', module.read_text())
    }
    assert named <= set(faults.POINTS)
    assert "journal.append.after" in named


def _python(code: str, fault: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MNEDGE_FAULT": fault},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.live
def test_the_environment_kills_a_process_at_the_named_visit():
    code = (
        "from mnedge import faults\n"
        "for n in 1, 2, 3: print(n, flush=True); faults.hit('spawn.before')"
    )
    ended = _python(code, "spawn.before:2:kill")
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == ["1", "2"]


@pytest.mark.live
def test_a_wrong_environment_stops_the_process_with_one_clear_line():
    ended = _python("import mnedge.faults", "nowhere:1:kill")
    assert ended.returncode == 1
    assert "no fault point is called 'nowhere'" in ended.stderr
    assert "Traceback" not in ended.stderr
