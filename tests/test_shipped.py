"""What the frozen program knows of itself, and the environment that it gives its children."""

import os
import sys
from pathlib import Path

import pytest

from mnedge import shipped

OURS = "/opt/mnedge/runtime/0123/_internal"


@pytest.fixture
def frozen(tmp_path, monkeypatch):
    """Be a frozen program for a while; return its folder."""
    place = tmp_path / "_internal"
    (place / "python" / "bin").mkdir(parents=True)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "_MEIPASS", str(place), raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "mnedge"))
    monkeypatch.setattr(shipped, "_called", [])
    return place


def test_from_source_python_runs_us():
    assert not shipped.frozen()
    assert shipped.program() == (sys.executable, "-m", "mnedge")
    assert shipped.python() == sys.executable
    assert shipped.bundled_python() is None
    assert shipped.folder() is None
    assert shipped.file() is None
    assert not shipped.one_file()


def test_from_source_the_environment_is_left_alone(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", OURS)
    monkeypatch.setenv("_PYI_ARCHIVE_FILE", "x")
    before = dict(os.environ)
    shipped.enter()
    assert dict(os.environ) == before


def test_a_frozen_program_starts_itself_without_words(frozen):
    assert shipped.program() == (sys.executable,)
    assert shipped.folder() == frozen


def test_the_interpreter_that_came_along_is_found_if_it_can_be_run(frozen):
    assert shipped.python() is None
    interpreter = frozen / "python" / "bin" / "python3"
    interpreter.touch(0o644)
    assert shipped.python() is None
    interpreter.chmod(0o755)
    assert shipped.python() == shipped.bundled_python() == str(interpreter)


def test_the_one_file_is_the_one_that_was_called(frozen, monkeypatch):
    assert shipped.file() == Path(sys.executable)
    assert not shipped.one_file()
    monkeypatch.setenv("MNEDGE_FILE", "/usr/local/bin/mnedge")
    shipped.enter()
    assert shipped.file() == Path("/usr/local/bin/mnedge")
    assert shipped.one_file()
    assert "MNEDGE_FILE" not in os.environ
    shipped.enter()
    assert shipped.file() == Path("/usr/local/bin/mnedge"), "what was heard once stays known"


def test_what_the_loader_laid_into_the_environment_is_gone(frozen, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(frozen))
    monkeypatch.setenv("_PYI_APPLICATION_HOME_DIR", str(frozen))
    monkeypatch.setenv("_MEIPASS2", str(frozen))
    monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", "/site/lib")
    monkeypatch.setenv("STAYS", "so")
    shipped.enter()
    assert os.environ["LD_LIBRARY_PATH"] == "/site/lib"
    assert os.environ["STAYS"] == "so"
    assert not [name for name in os.environ if name.startswith(("_PYI_", "_MEI", "LD_LIBRARY_PA"))
                and name != "LD_LIBRARY_PATH"]  # fmt: skip


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, {}),
        ({"LD_LIBRARY_PATH": OURS}, {}),
        ({"LD_LIBRARY_PATH": f"{OURS}/"}, {}),
        ({"LD_LIBRARY_PATH": f"{OURS}/lib:/site/lib"}, {"LD_LIBRARY_PATH": "/site/lib"}),
        ({"LD_LIBRARY_PATH": "/site/lib"}, {"LD_LIBRARY_PATH": "/site/lib"}),
        ({"LD_LIBRARY_PATH": f"{OURS}2"}, {"LD_LIBRARY_PATH": f"{OURS}2"}),
        ({"LD_LIBRARY_PATH": OURS, "LD_LIBRARY_PATH_ORIG": ""}, {}),
        (
            {"LD_LIBRARY_PATH": f"{OURS}:/a", "LD_LIBRARY_PATH_ORIG": "/a:/b"},
            {"LD_LIBRARY_PATH": "/a:/b"},
        ),
        ({"PATH": "/bin", "_PYI_X": "1", "_MEI_Y": "2", "MNEDGE_FILE": "f"}, {"PATH": "/bin"}),
    ],
)
def test_the_environment_is_what_it_was_before_the_loader(given, expected):
    assert shipped.as_called(given, OURS) == expected


def test_what_nix_brought_is_known_by_its_place(monkeypatch):
    assert not shipped.by_nix()
    monkeypatch.setattr(shipped, "__file__", "/nix/store/abc-python3-env/site/mnedge/shipped.py")
    assert shipped.by_nix()
