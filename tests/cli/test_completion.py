"""What the shell offers."""

import os

import click
import pytest
from click.shell_completion import BashComplete

from mnedge.cli import completion
from mnedge.cli.root import root


def offered(line, incomplete):
    complete = BashComplete(root, {}, "mnedge", "_MNEDGE_COMPLETE")
    return [item.value for item in complete.get_completions(line.split(), incomplete)]


def test_verbs_and_options_are_offered():
    assert offered("", "blue") == ["blueprint"]
    assert set(offered("job", "re")) >= {"recover", "resume", "result", "reject"}
    assert "--follow" in offered("job events", "--f")


def test_blueprints_and_pages_are_offered_by_name():
    assert offered("blueprint run", "prime") == ["prime_range_scan"]
    assert offered("docs", "qu") == ["quickstart"]


def test_runs_are_offered_the_newest_first(home):
    for age, name in enumerate(["trace-old", "trace-new", "other"]):
        (home / "runs" / name).mkdir(parents=True)
        os.utime(home / "runs" / name, (1000 + age, 1000 + age))
    assert offered("job show", "trace") == ["trace-new", "trace-old"]
    assert offered("run show", "") == ["last", "other", "trace-new", "trace-old"]


def test_where_nothing_is_nothing_is_offered(home, monkeypatch):
    assert offered("job show", "x") == []
    monkeypatch.setenv("MNEDGE_DURABILITY", "SOMETIMES")
    assert completion.runs(click.Context(root), root.params[0], "l") == ["last"]


@pytest.mark.parametrize("shell", ["bash_source", "zsh_source", "fish_source"])
def test_a_shell_gets_its_script(mnedge, monkeypatch, shell):
    monkeypatch.setenv("_MNEDGE_COMPLETE", shell)
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda *_: None)
    assert "_MNEDGE_COMPLETE" in mnedge("").out
