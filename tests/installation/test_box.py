"""A machine is looked at as it is, and nothing of it is changed."""

import os
from hashlib import sha256

from mnedge.config.layout import Layout
from mnedge.installation.box import ABSENT, Account, Group, found_at, look
from mnedge.installation.plan import PATHS
from tests.installation.images import image


def test_this_machine_can_be_looked_at():
    box = look(Layout(), PATHS)
    assert box.is_root == (os.geteuid() == 0)
    assert box.users["root"].uid == 0
    assert box.group_of("root") == "root"
    assert box.group_of("nobody of that name") is None
    assert not box.is_image
    assert set(box.found) == set(PATHS)


def test_an_image_has_its_own_accounts_and_files(tmp_path):
    root = image(tmp_path)
    (root / "etc/passwd").write_text("edge:x:1000:44::/srv/edge:/bin/sh\nbroken\nx:x:a:b::/:/\n")
    (root / "etc/group").write_text("video:x:44:edge,other\nnone:x::\n")
    (root / "etc/hostname").write_text("box\n")
    box = look(Layout(root), ("/etc/hostname", "/etc/absent"))
    assert box.users == {"edge": Account(uid=1000, gid=44, home="/srv/edge")}
    assert box.groups == {"video": Group(gid=44, members=("edge", "other"))}
    assert box.is_image
    assert box.has_systemd
    assert not box.systemd_runs
    assert box.at("/etc/hostname").text == "box\n"
    assert box.at("/etc/absent") is ABSENT
    assert box.at("/never/looked/at") is ABSENT


def test_the_supervisor_is_known_by_what_it_leaves(tmp_path):
    for mark, name in (
        ("etc/init.d", "sysv"),
        ("lib/systemd/systemd", "systemd"),
        ("sbin/openrc", "openrc"),
        ("etc/runit", "runit"),
    ):
        (tmp_path / mark).mkdir(parents=True)
        assert look(Layout(tmp_path), ()).supervisor == name
    assert look(Layout(tmp_path / "empty"), ()).supervisor == "unknown"


def test_a_path_is_what_it_is_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    assert found_at(tmp_path / "file").kind == "file"
    assert found_at(tmp_path / "file").mode == 0o640
    assert found_at(tmp_path / "file").text == "text"
    assert found_at(tmp_path / "link").target == "nowhere"
    assert found_at(tmp_path).kind == "folder"
    assert found_at(tmp_path / "pipe").kind == "other"
    assert found_at(tmp_path / "file" / "below") is ABSENT


def test_a_file_that_is_not_ours_is_not_read_whole(tmp_path):
    with (tmp_path / "big").open("wb") as file:
        file.truncate(8 << 20)
    assert found_at(tmp_path / "big").text == ""


def test_the_program_that_is_installed_is_known_by_its_content(tmp_path):
    layout = Layout(tmp_path)
    assert look(layout, ()).installed_sha256 == ""
    release = layout.releases / "1-abc"
    release.mkdir(parents=True)
    (release / "mnedge").write_text("program")
    layout.current.symlink_to("releases/1-abc")
    digest = look(layout, ()).installed_sha256
    assert digest == sha256(b"program").hexdigest()
    assert not look(layout, ()).is_unpacked
    (layout.runtime / "key").mkdir(parents=True)
    (layout.runtime / "key" / "complete").touch()
    assert look(layout, ()).is_unpacked
