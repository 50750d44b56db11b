import shlex
import subprocess

import pytest

from mnedge.execution.interpreters import Brought, Interpreter, brought_along, found

OURS = "/run/m n/_internal/python/bin/python3"


@pytest.fixture
def box(tmp_path):
    """Have a folder of programs."""

    def make(*names):
        for name in names:
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        return {"PATH": str(tmp_path)}

    return make


def test_from_source_nothing_changes(box):
    assert brought_along(box(), None) == (box(), None)


def test_a_machine_with_python_keeps_its_path(box):
    host, brought = brought_along(box("python3"), OURS)
    assert host == box()
    assert brought == Brought(OURS, is_only=False)
    assert brought.within("python3 x") == "python3 x"


@pytest.mark.parametrize("others", [(), ("python", "python3.9")])
def test_a_machine_without_it_gets_ours_behind_all_others(box, others):
    host, brought = brought_along(box(*others), OURS)
    assert host["PATH"] == f"{box()['PATH']}:/run/m n/_internal/python/bin"
    assert brought.is_only


def test_even_where_there_is_no_path_at_all(monkeypatch):
    monkeypatch.setattr("os.defpath", "/nowhere")
    assert brought_along({}, OURS)[0]["PATH"].endswith(":/run/m n/_internal/python/bin")
    assert brought_along({"PATH": ""}, OURS)[0]["PATH"] == "/run/m n/_internal/python/bin"


@pytest.mark.live
def test_a_shell_that_sets_its_path_anew_has_it_all_the_same():
    command = Brought(OURS, is_only=True).within("echo $PATH")
    line = f"PATH=/bin; eval {shlex.quote(command)}"
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert said == "/bin:/run/m n/_internal/python/bin\n"


@pytest.mark.parametrize(
    "version, is_new_enough",
    [("Python 3.9.2", False), ("Python 3.11.0", True), ("Python 3.14.1", True), ("", False)],
)
def test_payloads_may_expect_3_11(version, is_new_enough):
    assert Interpreter("/p", version).is_new_enough is is_new_enough


def test_a_program_that_is_not_there_is_none(box):
    assert found("python3", box()) is None
    assert found("tool", box("tool")) == f"{box()['PATH']}/tool"
