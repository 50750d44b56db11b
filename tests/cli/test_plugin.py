"""`mnedge plugin`: what a person and a program are told. tests/live does it for good."""

import json

import pytest

from mnedge.plugins import installing, outside
from mnedge.plugins.asking import Report, Trouble
from mnedge.plugins.depot import Depot
from tests.plugins.wheels import wheel

GOOD = Report(brings={"runners": ("acme",), "skills": ()}, took_s=0.1)


@pytest.fixture(autouse=True)
def probes(monkeypatch):
    """What probes answer; no process is started."""
    answers = {}

    def met(request, by):
        return answers.get(request.label.partition(" ")[0], GOOD)

    monkeypatch.setattr(installing, "probe", met)
    monkeypatch.setattr(outside, "probe", met)
    return answers


@pytest.fixture
def depot(home):
    return Depot(home / "mnedge" / "plugins")


def test_nothing_is_installed_at_first(mnedge, depot):
    assert "no plugin from outside is installed" in mnedge("plugin", "list").out
    assert "no plugin from outside is installed" in mnedge("plugin", "check").out
    assert mnedge("plugin", "list", "--json").value == []
    assert not depot.folder.exists()


def test_a_plugin_is_off_then_on_then_off_then_gone(mnedge, depot, tmp_path):
    told = mnedge("plugin", "install", str(wheel(tmp_path)))
    assert "acme-runner 1.0 is installed, and off" in told.out
    assert "--allow lets it in" in told.out
    assert "and on" in mnedge("plugin", "install", "acme_runner", "--allow").out
    assert "acme-runner  1.0  on  runners: acme" in mnedge("plugin", "list").out
    assert "and off" in mnedge("plugin", "install", "acme-runner", "--no-allow").out
    told = mnedge("plugin", "remove", "acme-runner", "--yes", "--json")
    assert told.value == {
        "removed": "acme-runner",
        "version": "1.0",
        "libraries": [],
        "in_use": False,
    }
    assert not depot.folder.exists()


def test_the_configuration_lets_one_in_by_its_name(mnedge, tmp_path, monkeypatch):
    mnedge("plugin", "install", str(wheel(tmp_path)))
    monkeypatch.setenv("MNEDGE_PLUGINS", "acme-runner")
    assert "  on  " in mnedge("plugin", "list").out
    assert "by the configuration" in mnedge("plugin", "show", "acme-runner").out
    told = mnedge("plugin", "remove", "acme-runner", "-y", code=2)
    assert "take it out of plugins:" in told.err


def test_a_bad_one_is_told_with_where_it_broke(mnedge, tmp_path, probes):
    trouble = Trouble(stage="probe", message="it hangs", trace='File "acme_runner.py", line 3')
    probes["acme-runner"] = Report(trouble=trouble)
    told = mnedge("plugin", "install", "--allow", str(wheel(tmp_path)), code=1)
    assert "acme-runner 1.0 is bad, and quarantined" in told.out
    assert "it hangs" in told.out
    assert "✗ acme-runner: it hangs" in mnedge("plugin", "list").out
    shown = mnedge("plugin", "show", "acme-runner").out
    assert "at stage probe" in shown
    assert 'File "acme_runner.py", line 3' in shown
    (one,) = mnedge("plugin", "check", "--json", code=1).value
    assert (one["good"], one["state"]) == (False, "quarantined")
    assert "it hangs" in mnedge("plugin", "check", code=1).out
    probes.clear()
    told = mnedge("plugin", "check").out
    assert "is good (quarantined)" in told
    assert "lets it in again" in told


def test_what_is_wrong_with_a_wheel_is_told_at_once_with_how_to_mend_it(mnedge, tmp_path):
    path = wheel(tmp_path, modules={"json.py": ""}, requires=("gone", "mnedge>=9"))
    told = mnedge("plugin", "install", str(path), code=2).err
    assert "needs gone, which is not here" in told
    assert "needs mnedge>=9" in told
    assert "'json', which is one of Python's own" in told
    assert "put its wheel beside" in told
    error = json.loads(mnedge("plugin", "install", str(path), "--json", code=2).err)["error"]
    assert error["code"] == "plugin.refused"
    assert len(error["details"]["reasons"]) == 3


@pytest.mark.parametrize(
    "words, said",
    [
        (("nobody",), "there is no file or folder nobody"),
        (("nobody", "--allow"), "give a wheel, or a folder"),
        (("gone.whl",), "no such file"),
    ],
)
def test_a_source_that_is_not_there_is_told(mnedge, words, said):
    assert said in mnedge("plugin", "install", *words, code=2).err


def test_a_name_that_is_installed_needs_a_word_what_to_do(mnedge, tmp_path):
    mnedge("plugin", "install", str(wheel(tmp_path)))
    told = mnedge("plugin", "install", "acme-runner", code=2).err
    assert "--allow" in told


def test_nobody_removes_what_is_not_there_or_another_nodes(mnedge):
    assert "no plugin 'x' is installed" in mnedge("plugin", "remove", "x", code=2).err
    assert "is about this machine" in mnedge("plugin", "list", "--host", "other", code=2).err


def test_the_probe_is_for_programs_and_not_in_the_help(mnedge):
    assert "probe" not in mnedge("plugin", "--help").out.replace("its probe", "")
