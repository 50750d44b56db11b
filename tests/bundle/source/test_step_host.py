"""What runs in the other interpreter, as far as it does not need one."""

import io
import json
import os
import sys

import pytest

from mnedge.bundle.source import step_host


class Step:
    def __init__(self, **parts):
        self.parts = parts

    def serialize(self):
        return self.parts


def test_objects_inside_become_plain_values():
    class Word:
        def to_dict(self):
            return {"word": (1, 2)}

    assert step_host.plain(Step(a=[Word()], b={3: None})) == {
        "a": [{"word": [1, 2]}],
        "b": {"3": None},
    }


def test_an_answer_is_the_step_or_why_there_is_none(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "host_good.py").write_text("STEP = {'input': {'hook': 'f'}}\ndef f(): ...")
    (tmp_path / "host_bad.py").write_text("STEP = {'input': {'hook': 'f'}}")
    assert step_host.answer("host_good") == {"step": {"input": {"hook": "f"}}}
    assert step_host.answer("host_bad") == {
        "error": "its input hook 'f' is no function of the module"
    }
    assert step_host.answer("host_gone")["error"].startswith("ModuleNotFoundError")


@pytest.fixture
def answers(monkeypatch):
    """Stand in for the file descriptors: what is written to the old standard output."""
    told = io.StringIO()
    monkeypatch.setattr(os, "dup", lambda fd: fd)
    monkeypatch.setattr(os, "dup2", lambda one, other: other)
    monkeypatch.setattr(os, "fdopen", lambda fd, mode, encoding: told)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return told


def test_it_answers_a_line_for_each_module_and_looks_in_payloads_first(tmp_path, answers):
    (tmp_path / "payloads").mkdir()
    (tmp_path / "payloads" / "host_one.py").write_text("STEP = {'from': 'payloads'}")
    (tmp_path / "host_one.py").write_text("STEP = {'from': 'root'}")
    stand_in = str(tmp_path / "sdk")
    step_host.main(str(tmp_path), stand_in, ["host_one", "host_none"])
    first, second = map(json.loads, answers.getvalue().splitlines())
    assert first == {"step": {"from": "payloads"}}
    assert "error" in second
    assert sys.path[:2] == [str(tmp_path / "payloads"), str(tmp_path)]
    assert sys.path[-1] == stand_in
