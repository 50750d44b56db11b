"""`mnedge update` on a node made of files; tests/binary does it under a real systemd."""

import json
import os
from pathlib import Path

import pytest

from mnedge import shipped
from mnedge.cli import updating
from mnedge.config.read import load_config
from mnedge.config.settings import Updates
from mnedge.updates.trial import ASKED_BACK, read_trial
from tests.updates.fake_root import LINE, FakeRoot


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An installed node, and this process taken for its program."""
    root = FakeRoot(tmp_path / "root")
    root.layout.config_file.parent.mkdir(parents=True)
    root.layout.config_file.write_text(
        f'data_dir: "{root.layout.data_dir}"\n'
        f'updates: {{keys: ["{LINE}"], healthTimeout: 20s, settle: 2s}}\n'
    )
    monkeypatch.setattr(updating, "Layout", lambda: root.layout)
    monkeypatch.setattr(updating, "ThisMachine", lambda layout, **_: root.machine)
    monkeypatch.setattr(
        updating,
        "this_build",
        lambda: root.machine.described(root.layout.current / "mnedge"),
    )
    monkeypatch.setattr(shipped, "file", lambda: root.layout.current / "mnedge")
    monkeypatch.setattr(shipped, "one_file", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return root


@pytest.fixture
def alone(tmp_path, monkeypatch, root, home):
    """One file that nobody installed."""
    root.layout.current.unlink()
    file = tmp_path / "bin" / "mnedge"
    file.parent.mkdir()
    file.write_text('{"version": "1.0.0"}')
    monkeypatch.setattr(shipped, "file", lambda: file)
    monkeypatch.setattr(updating, "this_build", lambda: root.machine.described(file))
    config = home / "mnedge" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(f'updates: {{keys: ["{LINE}"]}}\n')
    return file


@pytest.mark.drives("mnedge update")
def test_a_good_release_takes_over(mnedge, root):
    told = mnedge("update", root.file(version="1.1.0"))
    assert "mnedge 1.1.0 runs; before: 1.0.0" in told.out
    assert root.runs == "1.1.0"
    assert mnedge("update", "--status", "--json").value["last"]["result"] == "confirmed"
    shown = mnedge("update", "--status").out
    assert "1.1.0 runs" in shown
    assert root.old in shown


def test_a_bad_one_is_taken_back_and_the_exit_code_says_so(mnedge, root):
    told = mnedge("update", root.file(version="1.1.0", does="lies"), code=1)
    assert "was not taken" in told.out
    assert "1.0.0 runs again, and is well" in told.out
    told = mnedge("update", root.file(version="1.1.0", does="lies"), "--json", code=1).value
    assert (told["result"], told["well"]) == ("rolled_back", True)


def test_where_both_are_not_well_it_is_said(mnedge, root):
    where = root.file(version="1.1.0", does="silent")
    (root.layout.current / "mnedge").write_text('{"version": "1.0.0", "does": "silent"}')
    assert "AND NOT WELL EITHER: not well after 20 s" in mnedge("update", where, code=1).out


def test_to_check_and_to_look_change_nothing(mnedge, root, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    where = root.file(version="1.1.0", revision=0)
    before = sorted(root.folder.rglob("*"))
    assert "1.1.0 is newer than what runs here" in mnedge("update", "--check", where).out
    dry = mnedge("update", "--dry-run", where).out
    assert "switch" in dry
    assert "none of it done" in dry
    assert mnedge("update", "--check", where, "--json").value["result"] == "newer"
    mnedge("update", where, code=13)
    assert sorted(root.folder.rglob("*")) == before


def test_who_may_not_read_the_pinned_keys_is_told_so(mnedge, root, monkeypatch):
    def closed(environ, flags=None):
        if flags is not None:
            raise PermissionError(13, "Permission denied")
        return load_config(environ)

    monkeypatch.setattr(updating, "load_config", closed)
    told = mnedge("update", "--check", root.file(version="1.1.0"), code=13)
    assert "is for root and for members of its group" in told.out
    assert "no key is pinned" in told.err


def test_a_check_reads_the_file(mnedge, root):
    where = root.file(version="1.1.0")
    Path(where).write_text("something else")
    assert "is not what was signed" in mnedge("update", "--check", where, code=13).err


def test_the_same_is_no_update(mnedge, root):
    where = root.file(version="1.0.0")
    assert "1.0.0 is what runs here" in mnedge("update", where).out
    assert read_trial(root.layout) is None


def test_an_older_one_needs_a_word(mnedge, root):
    where = root.file(version="0.9.0", revision=0)
    assert "--allow-downgrade" in mnedge("update", where, code=1).err
    told = mnedge("update", where, "--allow-downgrade")
    assert "wait until a program that knows it is back" in told.out
    assert root.runs == "0.9.0"


def test_the_way_back_by_hand(mnedge, root):
    assert "no release before" in mnedge("update", "--rollback", code=2).err
    mnedge("update", root.file(version="1.1.0"))
    assert "mnedge 1.0.0 runs; before: 1.1.0" in mnedge("update", "--rollback").out
    assert root.runs == "1.0.0"


def test_there_is_no_way_back_to_what_cannot_read_the_data(mnedge, root):
    mnedge("update", root.file(version="1.1.0", schema=2))
    told = mnedge("update", "--rollback", code=1)
    assert "reads data up to schema 1, and the data here have schema 2" in told.err
    assert root.runs == "1.1.0"


def test_an_update_that_was_cut_short_is_ended_first(mnedge, root):
    root.begin(root.file(version="1.1.0"))
    told = mnedge("update", root.file(version="1.2.0"), code=1)
    assert "1.1.0 runs now" in told.err
    assert "run the same command again" in told.err
    assert "1.2.0 runs" in mnedge("update", root.file(version="1.2.0")).out


def test_while_somebody_carries_a_trial_another_is_refused_and_a_way_back_is_asked(
    mnedge, root, monkeypatch
):
    root.begin(root.file(version="1.1.0"))
    monkeypatch.setattr(root.machine, "systemd", True)
    monkeypatch.setattr(root.machine, "carries", lambda: True)
    assert "under way" in mnedge("update", root.file(version="1.2.0"), code=1).err
    assert "asked to go back" in mnedge("update", "--rollback", code=1).err
    assert (root.layout.home / ASKED_BACK).exists()
    assert "on trial" in mnedge("update", "--status").out


def test_the_service_manager_carries_it_where_it_can(mnedge, root, monkeypatch):
    def hand_over():
        updating.finish(root.layout, root.machine)
        return True

    monkeypatch.setattr(root.machine, "hand_over", hand_over)
    assert "1.1.0 runs" in mnedge("update", root.file(version="1.1.0")).out


def test_it_is_carried_by_us_if_the_service_manager_only_says_so(mnedge, root, monkeypatch):
    monkeypatch.setattr(root.machine, "hand_over", lambda: True)
    assert "1.1.0 runs" in mnedge("update", root.file(version="1.1.0")).out


def test_the_service_carries_on_what_it_finds(mnedge, root, monkeypatch):
    assert mnedge("update", "--finish").out == ""
    root.begin(root.file(version="1.1.0"))
    root.layout.config_file.write_text("broken: [")
    assert "1.1.0 runs" in mnedge("update", "--finish").out


def test_another_program_hands_over_to_the_installed_one(mnedge, root, tmp_path, monkeypatch):
    called = []
    other = tmp_path / "other"
    other.touch()
    monkeypatch.setattr(shipped, "file", lambda: other)

    def handed(program, words):
        called.append((program, words[0]))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", handed)
    mnedge("update", "x", code=None)
    assert called == [(root.layout.current / "mnedge", "mnedge")]


def test_one_file_is_replaced_where_it_stands(mnedge, root, alone):
    told = mnedge("update", root.file(version="1.1.0"))
    assert f"{alone} is mnedge 1.1.0; before: {alone}.old" in told.out
    assert json.loads(alone.read_text())["version"] == "1.1.0"
    assert json.loads(Path(f"{alone}.old").read_text())["version"] == "1.0.0"
    assert "is again what it was" in mnedge("update", "--rollback").out
    assert json.loads(alone.read_text())["version"] == "1.0.0"
    assert json.loads(Path(f"{alone}.old").read_text())["version"] == "1.1.0"


def test_the_file_of_a_package_is_left_to_it(mnedge, root, alone, tmp_path, monkeypatch):
    listed = tmp_path / "mnedge.list"
    listed.write_text(f"/usr\n{alone}\n")
    monkeypatch.setattr(updating, "PACKAGES", listed)
    assert "apt install" in mnedge("update", root.file(version="1.1.0"), code=2).err


def test_source_nix_and_folders_are_updated_in_other_ways(mnedge, root, monkeypatch):
    monkeypatch.setattr(shipped, "one_file", lambda: False)
    assert "needs the folder" in mnedge("update", "x", code=2).err
    monkeypatch.setattr(shipped, "file", lambda: None)
    assert "Python source" in mnedge("update", "x", code=2).err
    monkeypatch.setattr(shipped, "NIX", "/")
    assert "flake input" in mnedge("update", "x", code=2).err


@pytest.mark.parametrize("words", [[], ["--rollback", "x"], ["--status", "--check"]])
def test_what_says_too_little_or_too_much_is_refused(mnedge, root, words):
    mnedge("update", *words, code=2)


def test_the_settings_of_the_node_count(root):
    config = updating.load_config(
        updating.ENVIRON, updating.Flags(file=str(root.layout.config_file))
    ).config
    assert config.updates == Updates(keys=(LINE,), health_timeout=20.0, settle=2.0)
