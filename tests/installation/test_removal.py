"""Everything that was made goes, what belongs to people stays unless they say so."""

import pytest
from msgspec.structs import replace

from mnedge.installation.box import Account, Found
from mnedge.installation.plan import (
    COMMAND,
    CONFIG,
    DATA,
    ETC,
    OPT,
    UNIT_FILE,
    Settings,
    installing,
)
from mnedge.installation.removal import NotInstalledError, removing
from mnedge.installation.steps import Remove, RemoveGroup, RemoveUser, Systemctl, Write
from tests.installation.machines import BARE, WANTED, after

FULL = replace(WANTED, update_unit="[Unit]\n")
INSTALLED = after(BARE, installing(BARE, FULL))
SETTINGS = Settings()


def removed(plan) -> list[str]:
    return [step.path for step in plan.steps if isinstance(step, Remove)]


def test_the_node_is_stopped_first_and_the_program_goes_last():
    plan = removing(INSTALLED, SETTINGS, purge=False)
    calls = [step.words[0] for step in plan.steps if isinstance(step, Systemctl)]
    assert calls == ["disable", "disable", "stop", "daemon-reload", "reset-failed"]
    assert removed(plan)[-1] == OPT
    assert removed(removing(INSTALLED, SETTINGS, purge=True))[-2:] == [COMMAND, OPT]


def test_jobs_settings_and_the_user_stay():
    plan = removing(INSTALLED, SETTINGS, purge=False)
    assert not {DATA, ETC, CONFIG} & set(removed(plan))
    assert not [step for step in plan.steps if isinstance(step, RemoveUser)]
    assert DATA in plan.notes[0]


def test_everything_that_install_wrote_is_removed():
    made = {step.path for step in installing(BARE, FULL).steps if isinstance(step, Write)}
    gone = set(removed(removing(INSTALLED, SETTINGS, purge=False)))
    assert made - gone == {CONFIG}


def test_purge_leaves_nothing():
    left = after(INSTALLED, removing(INSTALLED, SETTINGS, purge=True))
    named = {path for path in left.found if "mnedge" in path}
    assert not named
    assert left.users == BARE.users
    with pytest.raises(NotInstalledError):
        removing(left, SETTINGS, purge=True)


def test_purge_after_uninstall_finds_what_is_left():
    left = after(INSTALLED, removing(INSTALLED, SETTINGS, purge=False))
    with pytest.raises(NotInstalledError) as error:
        removing(left, SETTINGS, purge=False)
    assert "--purge" in error.value.hint
    plan = removing(left, SETTINGS, purge=True)
    assert {DATA, ETC} <= set(removed(plan))
    assert [step for step in plan.steps if isinstance(step, RemoveUser | RemoveGroup)]


def test_data_elsewhere_is_purged_and_a_folder_of_the_system_never():
    settings = Settings(data_dir="/srv/jobs", runs_root="/srv")
    found = {**INSTALLED.found, **{p: Found(kind="folder") for p in ("/srv/jobs", "/srv")}}
    plan = removing(replace(INSTALLED, found=found), settings, purge=True)
    assert "/srv/jobs" in removed(plan)
    assert "/srv" not in removed(plan)


def test_what_lies_in_a_folder_goes_with_it():
    settings = Settings(data_dir=DATA, runs_root=f"{DATA}/runs")
    found = {**INSTALLED.found, f"{DATA}/runs": Found(kind="folder")}
    gone = removed(removing(replace(INSTALLED, found=found), settings, purge=True))
    assert DATA in gone
    assert f"{DATA}/runs" not in gone


def test_the_user_stays_where_nothing_removes_users():
    bare = replace(INSTALLED, tools=frozenset())
    plan = removing(bare, SETTINGS, purge=True)
    assert not [step for step in plan.steps if isinstance(step, RemoveUser | RemoveGroup)]
    assert plan.notes == ("stays: the user mnedge; userdel is not on this machine",)


def test_only_a_user_that_install_made_is_said_to_go_with_the_data():
    [note] = removing(INSTALLED, SETTINGS, purge=False).notes
    assert "the user mnedge" in note
    users = INSTALLED.users | {"mnedge": Account(uid=901, gid=901, home="/srv/mnedge")}
    [note] = removing(replace(INSTALLED, users=users), SETTINGS, purge=False).notes
    assert "user" not in note


def test_a_user_that_install_did_not_make_stays():
    users = {**INSTALLED.users, "edge": Account(uid=1000, gid=1000, home="/srv/edge")}
    unit = replace(INSTALLED.at(UNIT_FILE), text="User=edge\n")
    box = replace(INSTALLED, users=users, found={**INSTALLED.found, UNIT_FILE: unit})
    plan = removing(box, SETTINGS, purge=True)
    assert not [step for step in plan.steps if isinstance(step, RemoveUser)]


def test_a_machine_without_systemd_has_nothing_to_stop():
    machine = replace(BARE, has_systemd=False, systemd_runs=False)
    done = after(machine, installing(machine, WANTED))
    plan = removing(done, SETTINGS, purge=False)
    assert not [step for step in plan.steps if isinstance(step, Systemctl)]
    assert OPT in removed(plan)
