"""`mnedge install` and `mnedge uninstall`, in an image; tests/binary does it on a machine."""

import io
import os
import shutil

import pytest

from mnedge import shipped
from mnedge.config.layout import Layout
from mnedge.updates.prepare import locked
from tests.installation.images import image, program

pytestmark = pytest.mark.live
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("useradd"), reason="root alone makes users"
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An image, and this program taken for the one file."""
    monkeypatch.setattr(shipped, "frozen", lambda: True)
    monkeypatch.setattr(shipped, "_called", [program(tmp_path).file])
    return image(tmp_path)


@needs_root
@pytest.mark.drives("mnedge install")
def test_an_image_is_made_a_node_and_the_second_run_says_so(mnedge, root):
    first = mnedge("install", "--root", str(root), "--http", "127.0.0.1:8099")
    assert "copy program" in first.out
    assert f"mnedge is installed in {root}" in first.out
    layout = Layout(root)
    assert (layout.current / "mnedge").is_file()
    assert 'http: "127.0.0.1:8099"' in layout.config_file.read_text()
    assert "Type=notify" in layout.unit.read_text()
    assert layout.at("/usr/local/share/zsh/site-functions/_mnedge").read_text()[0] == "#"
    again = mnedge("install", "--prefix", str(root), "--json").value
    assert (again["changed"], again["steps"]) == (False, [])
    assert "nothing to do" in mnedge("install", "--root", str(root)).out


def test_a_dry_run_changes_nothing(mnedge, root):
    before = sorted(root.rglob("*"))
    told = mnedge("install", "--root", str(root), "--dry-run")
    assert "none of them done" in told.out
    records = mnedge("install", "--root", str(root), "--dry-run", "-o", "ndjson").out
    assert '"done":false' in records
    assert sorted(root.rglob("*")) == before


@needs_root
def test_a_configuration_that_is_wrong_stops_it_before_anything_is_done(mnedge, root):
    config = Layout(root).config_file
    config.parent.mkdir()
    config.write_text("relay: {listen: {htp: x}}\n")
    told = mnedge("install", "--root", str(root), code=2)
    assert "htp" in told.err
    assert not Layout(root).home.exists()


@needs_root
@pytest.mark.drives("mnedge uninstall")
def test_it_is_taken_away_again_and_purged_when_that_is_said(mnedge, root, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    layout = Layout(root)
    mnedge("install", "--root", str(root))
    told = mnedge("uninstall", "--root", str(root))
    assert "mnedge is gone" in told.out
    assert not layout.home.exists()
    assert layout.data_dir.is_dir()
    assert "not installed" in mnedge("uninstall", "--root", str(root), code=2).err
    asked = mnedge("uninstall", "--root", str(root), "--purge", code=2)
    assert "--yes" in asked.err
    assert layout.data_dir.is_dir()
    mnedge("uninstall", "--root", str(root), "--purge", "--yes")
    assert not layout.data_dir.exists()
    assert not layout.config_file.parent.exists()


@needs_root
def test_while_an_update_is_under_way_nothing_is_taken_away(mnedge, root):
    mnedge("install", "--root", str(root))
    layout = Layout(root)
    before = sorted(root.rglob("*"))
    with locked(layout.home):
        told = mnedge("uninstall", "--root", str(root), code=1)
        assert "an update is under way" in told.err
        mnedge("uninstall", "--root", str(root), "--dry-run")
        layout.unit.unlink()
        assert "under way" in mnedge("install", "--root", str(root), code=1).err
    assert set(before) - set(root.rglob("*")) == {layout.unit}
    mnedge("install", "--root", str(root))


def test_source_is_refused_with_what_to_do(mnedge, tmp_path):
    told = mnedge("install", "--root", str(tmp_path), "--dry-run", code=2)
    assert "one file" in told.err
    assert "make binary" in told.err


def test_the_unpacked_folder_is_refused(mnedge, root, monkeypatch):
    monkeypatch.setattr(shipped, "_called", [])
    told = mnedge("install", "--root", str(root), "--dry-run", code=2)
    assert "needs the folder it stands in" in told.err


def test_another_node_is_not_installed_from_here(mnedge, root):
    told = mnedge("--host", "edge1", "install", "--root", str(root), code=2)
    assert "this machine" in told.err
