"""Steps are done in an image: what is there afterwards, a failure half-way, and the way back."""

import os
import shutil
import stat
import subprocess

import pytest

from mnedge.config.layout import Layout, release_id
from mnedge.installation import doing
from mnedge.installation.doing import StepFailedError, do, examined
from mnedge.installation.plan import NotRootError, Settings, Wanted, installing
from mnedge.installation.removal import removing
from mnedge.installation.steps import CopyProgram, Systemctl, Write
from tests.installation.images import STUB, image, program

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="root alone makes users"),
    pytest.mark.skipif(not shutil.which("useradd"), reason="useradd is not on this machine"),
]


@pytest.fixture
def layout(tmp_path) -> Layout:
    return Layout(image(tmp_path))


@pytest.fixture
def wanted(tmp_path) -> Wanted:
    texts = {"bash": "complete\n", "zsh": "#compdef mnedge\n", "fish": "complete -c mnedge\n"}
    return Wanted(program=program(tmp_path), completions=texts)


def test_an_image_becomes_a_node_and_a_second_run_has_nothing_to_do(layout, wanted):
    heard = []
    plan = installing(examined(layout), wanted)
    do(plan, layout, verb="install", begun=lambda number, step: heard.append((number, step)))
    assert [step for _, step in heard] == list(plan.steps)
    box = examined(layout)
    user = box.users["mnedge"]
    assert user.home == "/var/lib/mnedge"
    assert "mnedge" in box.groups["video"].members
    assert "/usr/sbin/nologin" in (layout.root / "etc/passwd").read_text()
    config = layout.config_file.stat()
    assert (config.st_uid, config.st_gid, stat.S_IMODE(config.st_mode)) == (0, user.gid, 0o640)
    data = layout.data_dir.stat()
    assert (data.st_uid, stat.S_IMODE(data.st_mode)) == (user.uid, 0o750)
    name = release_id(wanted.program.version, wanted.program.sha256)
    assert str(layout.current.readlink()) == f"releases/{name}"
    assert stat.S_IMODE((layout.releases / name / "mnedge").stat().st_mode) == 0o755
    assert (layout.runtime / "key" / "complete").exists()
    assert layout.at("/etc/systemd/system/multi-user.target.wants/mnedge.service").is_symlink()
    assert installing(examined(layout), wanted).steps == ()


def test_a_failure_names_the_step_and_the_next_run_ends_what_it_began(layout, wanted):
    layout.unit.parent.rmdir()
    layout.unit.parent.write_text("in the way")
    with pytest.raises(StepFailedError) as error:
        do(installing(examined(layout), wanted), layout, verb="install")
    assert str(layout.unit.name) in error.value.message
    assert error.value.message.startswith("step ")
    assert "mnedge install" in error.value.hint
    assert layout.current.is_symlink()
    layout.unit.parent.unlink()
    rest = installing(examined(layout), wanted)
    assert not [step for step in rest.steps if isinstance(step, CopyProgram)]
    do(rest, layout, verb="install")
    assert installing(examined(layout), wanted).steps == ()


def test_a_program_that_does_not_start_is_told_with_its_words(layout, tmp_path):
    bad = program(tmp_path, "#!/bin/sh\necho no such library >&2\nexit 7\n")
    with pytest.raises(StepFailedError, match="no such library"):
        do(installing(examined(layout), Wanted(program=bad)), layout, verb="install")
    assert not layout.current.is_symlink()


def test_a_program_that_unpacks_itself_elsewhere_is_not_installed(layout, tmp_path):
    """As where the file finds room and what it carries does not: the service would own it."""
    text = "#!/bin/sh\necho 'mnedge: MNEDGE_RUNTIME_DIR is not used: no space' >&2\necho mnedge 1\n"
    with pytest.raises(StepFailedError, match="no space") as error:
        do(installing(examined(layout), Wanted(program=program(tmp_path, text))), layout, verb="x")
    assert "unpack" in error.value.message
    assert not layout.current.is_symlink()


def test_a_program_of_another_kind_of_machine_is_unpacked_for_an_image(layout, tmp_path):
    text = STUB.replace("echo mnedge", "exit 126; echo mnedge")
    do(installing(examined(layout), Wanted(program=program(tmp_path, text))), layout, verb="x")
    assert layout.current.is_symlink()


def test_a_program_that_changes_while_it_is_copied_is_not_installed(layout, tmp_path, wanted):
    plan = installing(examined(layout), wanted)
    program(tmp_path, "#!/bin/sh\nexit 0\n")
    with pytest.raises(StepFailedError, match="changed while"):
        do(plan, layout, verb="install")
    assert not [file for file in layout.releases.rglob("*") if file.is_file()]


def test_what_was_installed_goes_and_the_data_stay_until_purge(layout, wanted):
    before = {path for path in layout.root.rglob("*") if "completions" not in str(path)}
    do(installing(examined(layout), wanted), layout, verb="install")
    (layout.data_dir / "mnedge.db").write_text("jobs")
    do(removing(examined(layout), Settings(), purge=False), layout, verb="uninstall")
    assert (layout.data_dir / "mnedge.db").exists()
    assert layout.config_file.exists()
    assert not layout.home.exists()
    assert not layout.command.is_symlink()
    assert not layout.unit.exists()
    do(removing(examined(layout), Settings(), purge=True), layout, verb="uninstall")
    assert not layout.data_dir.exists()
    assert "mnedge" not in (layout.root / "etc/passwd").read_text()
    assert "mnedge" not in (layout.root / "etc/group").read_text()
    after = {path for path in layout.root.rglob("*") if path.is_file()}
    backups = {path for path in after if path.name.endswith("-")}
    assert after - backups <= before


def test_a_disk_of_its_own_is_emptied_and_stays_mounted(layout, wanted):
    do(installing(examined(layout), wanted), layout, verb="install")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", layout.data_dir], check=True)
    try:
        (layout.data_dir / "runs").mkdir()
        (layout.data_dir / "mnedge.db").write_text("jobs")
        (layout.data_dir / "elsewhere").symlink_to("/")
        os.chown(layout.data_dir, 999, 999)
        do(removing(examined(layout), Settings(), purge=True), layout, verb="uninstall")
        assert not list(layout.data_dir.iterdir())
        assert layout.data_dir.stat().st_uid == 0
    finally:
        subprocess.run(["umount", layout.data_dir], check=True)


def test_a_file_is_replaced_whole_or_not_at_all(layout):
    target = layout.at("/etc/thing")
    target.write_text("old")
    step = Write(path="/etc/thing", text="new", owner="stranger", mode=0o600)
    plan = installing(examined(layout), Wanted(program=program(layout.root)))
    with pytest.raises(StepFailedError, match="stranger"):
        do(type(plan)(steps=(step,)), layout, verb="install")
    assert target.read_text() == "old"
    assert not list(target.parent.glob(".thing*"))


def test_what_need_not_be_there_may_be_missing(layout):
    plan = installing(examined(layout), Wanted(program=program(layout.root)))
    words = ("stop", "no-such-unit-of-mnedge.service")
    do(type(plan)(steps=(Systemctl(words=words, may_fail=True),)), layout, verb="uninstall")
    with pytest.raises(StepFailedError, match="step 1 of 1"):
        do(type(plan)(steps=(Systemctl(words=words),)), layout, verb="uninstall")


def test_who_may_not_look_is_told_to_ask_root(layout, monkeypatch):
    def closed(layout, paths):
        raise PermissionError(13, "Permission denied", "/etc/mnedge/config.yaml")

    monkeypatch.setattr(doing, "look", closed)
    with pytest.raises(NotRootError, match=r"config\.yaml is for root") as error:
        examined(layout)
    assert "sudo" in error.value.hint
