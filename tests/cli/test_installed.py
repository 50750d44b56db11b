"""`doctor` and an installed node: its files as this version writes them, and whose it is."""

import os
from collections.abc import Iterator

import pytest

from mnedge.cli.installed import (
    elsewhere_findings,
    guest_findings,
    installation_findings,
    owner_of_data,
)
from mnedge.cli.installing import update_unit
from mnedge.config.layout import Layout
from mnedge.config.read import Flags, load_config, read_config
from mnedge.installation import texts, unit
from mnedge.installation.plan import JOURNAL_FILE, UNIT_FILE, UPDATE_UNIT_FILE


def installed(tmp_path) -> Layout:
    layout = Layout(tmp_path)
    (layout.releases / "1-abc").mkdir(parents=True)
    (layout.releases / "1-abc" / "mnedge").write_text("")
    layout.current.symlink_to("releases/1-abc")
    text = unit.filled(unit.template(), unit.Service(user="edge", networks=("localhost",)))
    files = ((UNIT_FILE, text), (UPDATE_UNIT_FILE, update_unit()), (JOURNAL_FILE, texts.journal()))
    for path, content in files:
        layout.at(path).parent.mkdir(parents=True, exist_ok=True)
        layout.at(path).write_text(content)
    return layout


def statuses(found: Iterator) -> dict[str, str]:
    return {finding.name: finding.status for finding in found}


def test_where_nothing_is_installed_there_is_nothing_to_say(tmp_path):
    assert not list(installation_findings(Layout(tmp_path)))


def test_what_install_chose_is_no_difference(tmp_path):
    told = statuses(installation_findings(installed(tmp_path)))
    assert told == dict.fromkeys(("release", "unit", "update unit", "journal"), "ok")


def test_a_unit_that_was_edited_or_is_older_is_a_warning(tmp_path):
    layout = installed(tmp_path)
    file = layout.at(UNIT_FILE)
    file.write_text(file.read_text().replace("WatchdogSec=30\n", ""))
    layout.at(JOURNAL_FILE).unlink()
    told = statuses(installation_findings(layout))
    assert (told["unit"], told["journal"]) == ("warning", "warning")


def test_drop_ins_are_told_and_no_fault(tmp_path):
    layout = installed(tmp_path)
    folder = layout.at(f"{UNIT_FILE}.d")
    folder.mkdir()
    (folder / "override.conf").write_text("[Service]\n")
    last = list(installation_findings(layout))[-1]
    assert last.status == "absent"
    assert "override.conf" in last.found


def test_a_release_that_is_gone_is_broken(tmp_path):
    layout = installed(tmp_path)
    (layout.current / "mnedge").unlink()
    assert statuses(installation_findings(layout))["release"] == "broken"


def test_a_node_whose_data_the_command_line_does_not_find_is_pointed_out(tmp_path):
    layout = Layout(tmp_path)
    layout.config_file.parent.mkdir(parents=True)
    layout.config_file.write_text("daemon: {grace: 5s}\n")
    flags = Flags(file=str(layout.config_file))
    root = load_config({"HOME": "/root"}, flags).config
    assert not list(elsewhere_findings(root, layout)), "nothing is installed"
    layout.unit.parent.mkdir(parents=True)
    layout.unit.write_text("[Service]\nUser=mnedge\n")
    [found] = elsewhere_findings(root, layout)
    assert found.status == "warning"
    assert "data_dir: /var/lib/mnedge/mn/mnedge" in found.mend
    layout.config_file.write_text("data_dir: /var/lib/mnedge\n")
    assert not list(elsewhere_findings(load_config({"HOME": "/root"}, flags).config, layout))
    mine = load_config({"HOME": "/root"}, Flags(data_dir="/srv/mine")).config
    assert not list(elsewhere_findings(mine, layout))


def test_ones_own_data_have_no_other_owner(tmp_path):
    config = read_config({"HOME": str(tmp_path)})
    assert owner_of_data(config) is None
    config.data_dir.mkdir(parents=True)
    assert owner_of_data(config) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
def test_data_of_another_are_told_by_name_to_who_is_not_root(tmp_path, monkeypatch):
    config = read_config({"HOME": str(tmp_path)})
    config.data_dir.mkdir(parents=True)
    os.chown(config.data_dir, 65534, 65534)
    assert owner_of_data(config) is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert owner_of_data(config) == "nobody"
    told = statuses(guest_findings(config, "nobody"))
    assert told == {"data directory": "ok", "unix socket": "broken"}
