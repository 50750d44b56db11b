"""What is planned for which machine; a second plan has nothing to do."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from mnedge.config.file import read_text
from mnedge.config.layout import Layout, release_id
from mnedge.installation.box import Account, Found, ServiceState
from mnedge.installation.plan import (
    COMMAND,
    CONFIG,
    CURRENT,
    DATA,
    ETC,
    JOURNAL_FILE,
    UNIT_FILE,
    UPDATE_UNIT_FILE,
    WANTED_BY,
    InTheWayError,
    NotRootError,
    OtherReleaseError,
    Settings,
    ToolMissingError,
    installing,
    require_root,
)
from mnedge.installation.steps import (
    AddGroup,
    AddUser,
    AwaitHealth,
    CopyProgram,
    Folder,
    Join,
    Link,
    Systemctl,
    Unpack,
    Write,
)
from tests.installation.machines import BARE, NEWER, RELEASE, WANTED, after


def of(plan, kind):
    return [step for step in plan.steps if isinstance(step, kind)]


def written(plan) -> dict[str, Write]:
    return {step.path: step for step in of(plan, Write)}


def asked(plan) -> list[str]:
    return [" ".join(step.words) for step in of(plan, Systemctl)]


def test_a_bare_machine_gets_everything_in_an_order_that_works():
    plan = installing(BARE, WANTED)
    kinds = [type(step) for step in plan.steps]
    order = (AddGroup, AddUser, Join, CopyProgram, Unpack, Link, Write, Systemctl, AwaitHealth)
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    assert asked(plan) == ["daemon-reload", "enable mnedge.service", "start mnedge.service"]
    assert {CONFIG, UNIT_FILE, JOURNAL_FILE} < set(written(plan))
    assert not plan.by_hand


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"update_unit": "[Unit]\n"},
        {"user": "edge"},
        {"http": "127.0.0.1:1", "grpc": "127.0.0.1:2"},
        {"networks": ("10.0.0.0/8", "localhost")},
        {"start": False},
    ],
)
@pytest.mark.parametrize(
    "machine",
    [
        BARE,
        replace(BARE, systemd_runs=False),
        replace(BARE, has_systemd=False, systemd_runs=False, supervisor="openrc"),
        replace(BARE, layout=Layout(Path("/mnt")), systemd_runs=False),
    ],
    ids=["systemd", "systemd asleep", "openrc", "image"],
)
def test_a_second_plan_has_nothing_to_do(machine, changes):
    wanted = replace(WANTED, **changes)
    done = after(machine, installing(machine, wanted))
    assert installing(done, wanted).steps == ()
    # Nor has one that does not repeat what was chosen.
    assert installing(done, replace(WANTED, **{k: changes[k] for k in changes if k == "start"}
                                    | {"update_unit": wanted.update_unit})).steps == ()  # fmt: skip


def test_every_step_is_done_once_more_where_something_was_undone():
    plan = installing(BARE, WANTED)
    done = after(BARE, plan)
    for path in [step.path for step in plan.steps if isinstance(step, Folder | Write | Link)]:
        if RELEASE in path or (path.startswith("/usr/local/share") and "mnedge" not in path):
            continue  # folders are made with what stands in them
        found = {p: f for p, f in done.found.items() if p != path}
        again = installing(replace(done, found=found), WANTED)
        assert path in {getattr(step, "path", "") for step in again.steps}, path


def test_a_configuration_that_is_there_is_never_touched():
    mine = Found(kind="file", mode=0o600, text="relay: {}\n")
    machine = replace(BARE, found={CONFIG: mine})
    plan = installing(machine, replace(WANTED, http="127.0.0.1:8080"))
    assert CONFIG not in written(plan)
    assert "relay.listen.http: 127.0.0.1:8080" in plan.notes[0]


def test_an_address_goes_into_a_new_configuration():
    plan = installing(BARE, replace(WANTED, http="127.0.0.1:8081"))
    held = read_text(written(plan)[CONFIG].text, CONFIG)
    assert held.settings.relay.listen.http == "127.0.0.1:8081"
    assert held.settings.relay.listen.grpc is None


def test_secrets_in_the_configuration_are_for_root_and_the_node():
    config = written(installing(BARE, WANTED))[CONFIG]
    assert (config.owner, config.group, config.mode) == ("root", "mnedge", 0o640)
    folders = {step.path: step for step in of(installing(BARE, WANTED), Folder)}
    assert folders[DATA].mode == folders[ETC].mode == 0o750
    assert folders["/opt/mnedge"].owner == "root"


def test_the_user_joins_those_device_groups_that_there_are():
    assert of(installing(BARE, WANTED), Join)[0].groups == ("video", "dialout")


def test_a_unit_that_somebody_edited_is_written_anew_and_the_node_restarted():
    done = after(BARE, installing(BARE, WANTED))
    edited = replace(done.at(UNIT_FILE), text=done.at(UNIT_FILE).text + "Nice=5\n")
    plan = installing(replace(done, found={**done.found, UNIT_FILE: edited}), WANTED)
    assert not written(plan)[UNIT_FILE].is_new
    assert asked(plan) == ["daemon-reload", "restart mnedge.service"]


def test_a_node_that_is_down_is_started():
    done = after(BARE, installing(BARE, WANTED))
    down = replace(done, service=ServiceState(enabled=True))
    assert asked(installing(down, WANTED)) == ["start mnedge.service"]
    plan = installing(down, replace(WANTED, start=False))
    assert plan.steps == ()
    assert plan.by_hand == ("start it: systemctl start mnedge.service",)


def test_the_unit_lets_the_node_write_what_its_configuration_names():
    settings = Settings(data_dir="/srv/a", socket="/srv/a/s", writable=("/srv/a", "/srv/out"))
    plan = installing(BARE, replace(WANTED, settings=settings))
    unit = written(plan)[UNIT_FILE].text
    assert "ReadWritePaths=-/srv/a -/srv/out\n" in unit
    assert "RequiresMountsFor=/srv/a\n" in unit
    assert of(plan, AwaitHealth)[0].socket == "/srv/a/s"


def test_a_folder_that_is_not_there_yet_is_said_with_what_makes_it():
    settings = Settings(writable=(DATA, "/srv/runs"), runs_root="/srv/runs")
    wanted = replace(WANTED, settings=settings)
    [note] = installing(BARE, wanted).notes
    assert note.startswith("/srv/runs is not there")
    assert "install -d -o mnedge -g mnedge /srv/runs" in note
    there = replace(BARE, found={"/srv/runs": Found(kind="folder")})
    assert not installing(there, wanted).notes


def test_another_release_is_for_update_unless_it_is_to_be_replaced():
    done = after(BARE, installing(BARE, WANTED))
    newer = replace(WANTED, program=NEWER)
    with pytest.raises(OtherReleaseError, match=RELEASE):
        installing(done, newer)
    plan = installing(done, replace(newer, replace=True))
    links = {step.path: step.target for step in of(plan, Link)}
    name = release_id(NEWER.version, NEWER.sha256)
    assert links == {
        "/opt/mnedge/previous": f"releases/{RELEASE}",
        CURRENT: f"releases/{name}",
    }
    assert asked(plan) == ["restart mnedge.service"]


def test_without_systemd_all_but_the_unit_is_done_and_the_rest_told():
    machine = replace(BARE, has_systemd=False, systemd_runs=False, supervisor="runit")
    plan = installing(machine, WANTED)
    assert not of(plan, Systemctl)
    assert not {UNIT_FILE, JOURNAL_FILE} & set(written(plan))
    told = "\n".join(plan.by_hand)
    assert f"{COMMAND} daemon --config {CONFIG}" in told
    assert "/etc/sv/mnedge/run" in told


def test_an_image_is_enabled_by_a_link_and_nothing_in_it_is_started():
    machine = replace(BARE, layout=Layout(Path("/mnt")), systemd_runs=False)
    plan = installing(machine, replace(WANTED, update_unit="[Unit]\n"))
    links = {step.path: step.target for step in of(plan, Link)}
    assert links[WANTED_BY] == UNIT_FILE
    assert UPDATE_UNIT_FILE in links.values()
    assert not of(plan, Systemctl)
    assert not plan.by_hand


def test_what_is_not_ours_is_not_overwritten():
    for path, found in {
        UNIT_FILE: Found(kind="link", target="/dev/null"),
        DATA: Found(kind="file"),
        CURRENT: Found(kind="folder"),
        COMMAND: Found(kind="file", text="#!/bin/sh\n"),
    }.items():
        with pytest.raises(InTheWayError, match=path):
            installing(replace(BARE, found={path: found}), WANTED)


def test_data_of_another_user_are_not_given_away():
    users = {**BARE.users, "ada": Account(uid=1000, gid=44)}
    theirs = replace(BARE, users=users, found={DATA: Found(kind="folder", uid=1000)})
    with pytest.raises(InTheWayError, match="belongs to ada") as error:
        installing(theirs, replace(WANTED, user="mnedge"))
    assert "chown -R root:root" in error.value.hint, "there is no mnedge yet"
    assert "--user ada" in error.value.hint
    users["mnedge"] = Account(uid=901, gid=901)
    with pytest.raises(InTheWayError) as error:
        installing(replace(theirs, users=users), replace(WANTED, user="mnedge"))
    assert "chown -R mnedge:" in error.value.hint
    assert not of(installing(theirs, WANTED), AddUser)  # whose the data are, runs the node
    nobodys = replace(BARE, found={DATA: Found(kind="folder", uid=777)})
    with pytest.raises(InTheWayError, match="belongs to 777") as error:
        installing(nobodys, WANTED)
    assert "--user" not in error.value.hint, "a number is no name"


def test_data_of_root_are_given_away_whole_by_systemd():
    roots = replace(BARE, found={DATA: Found(kind="folder", mode=0o755)})
    folders = {step.path for step in of(installing(roots, WANTED), Folder)}
    assert DATA not in folders
    bare = replace(roots, has_systemd=False, systemd_runs=False)
    assert DATA in {step.path for step in of(installing(bare, WANTED), Folder)}


def test_without_the_tools_an_existing_user_is_needed():
    machine = replace(BARE, tools=frozenset())
    with pytest.raises(ToolMissingError, match="groupadd"):
        installing(machine, WANTED)
    done = after(BARE, installing(BARE, WANTED))
    known = replace(machine, users=done.users, groups=done.groups)
    assert not of(installing(known, WANTED), AddUser)


def test_only_root_installs():
    require_root(BARE)
    with pytest.raises(NotRootError):
        require_root(replace(BARE, is_root=False))
