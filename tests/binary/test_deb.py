"""The Debian package puts the one file in its place, unpacks it for everybody, starts nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.binary.systemd_machine import machine

pytestmark = pytest.mark.live
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def package(shipped):
    (found,) = shipped.glob("mnedge_*.deb")
    return found


@pytest.fixture
def box(tmp_path):
    with machine(tmp_path) as booted:
        yield booted


def field(package, name):
    return subprocess.check_output(["dpkg-deb", "--field", package, name], text=True).strip()


def test_it_says_what_it_is_and_what_it_takes(package, binary):
    version = subprocess.check_output([binary, "--version"], text=True).split()[1]
    assert package.name == f"mnedge_{version}_{field(package, 'Architecture')}.deb"
    assert field(package, "Package") == "mnedge"
    assert field(package, "Depends").startswith("libc6 (>= 2.")
    listed = subprocess.check_output(["dpkg-deb", "--contents", package], text=True).splitlines()
    assert {line.split()[1] for line in listed} == {"root/root"}
    paths = [line.split()[5] for line in listed if not line.startswith("d")]
    assert sorted(paths) == [
        "./usr/bin/mnedge",
        "./usr/lib/mnedge/mnedge",
        "./usr/share/doc/mnedge/copyright",
    ]


def test_it_comes_in_serves_everybody_and_goes_without_a_trace(box, package, binary):
    box.path("/srv/mnedge.deb").write_bytes(package.read_bytes())
    box.run("dpkg", "--install", "/srv/mnedge.deb")
    assert box.path("/usr/lib/mnedge/mnedge").read_bytes() == binary.read_bytes()
    assert box.says("mnedge", "--version", user="daemon", HOME="/nonexistent").startswith("mnedge ")
    assert (
        box.says("sh", "-c", "ls -d /tmp/mnedge-* /dev/shm/mnedge-* 2>/dev/null || echo none")
        == "none"
    )
    assert box.says("stat", "--format=%U %a", "/opt/mnedge/runtime") == "root 755"
    assert "mnedge" not in box.says("systemctl", "list-units", "--all", "--plain")
    box.run("dpkg", "--install", "/srv/mnedge.deb")  # once more: nothing is in its way
    box.run("dpkg", "--purge", "mnedge")
    for gone in ("/opt/mnedge", "/usr/lib/mnedge", "/usr/bin/mnedge", "/usr/share/doc/mnedge"):
        assert box.run("test", "-e", gone, code=None).returncode == 1, gone


def test_a_node_that_runs_from_it_is_left_alone(box, package):
    box.path("/srv/mnedge.deb").write_bytes(package.read_bytes())
    box.run("dpkg", "--install", "/srv/mnedge.deb")
    box.run("mkdir", "-p", "/opt/mnedge/releases/1")
    box.run("ln", "-s", "releases/1", "/opt/mnedge/current")
    said = box.says("dpkg", "--install", "/srv/mnedge.deb")
    assert "mnedge update /usr/lib/mnedge/mnedge" in said
    assert "mnedge uninstall" in box.says("dpkg", "--remove", "mnedge")
    (unpacked,) = box.says("ls", "/opt/mnedge/runtime").split()
    assert box.run("test", "-x", f"/opt/mnedge/runtime/{unpacked}/mnedge/mnedge").returncode == 0


def test_what_was_signed_brings_its_statement(binary, tmp_path):
    """Else no installed node takes the file from the package."""
    file = tmp_path / "mnedge"
    file.write_bytes(binary.read_bytes()[:4096])
    (tmp_path / "mnedge.release.json").write_text("{}")
    words = {
        "VERSION": "1.0",
        "DEBIAN": "amd64",
        "NAME": "mnedge",
        "GLIBC": "2.35",
        "FLAVOUR": "lean",
        "KEY": "0" * 16,
    }
    made = (
        "import json, pathlib, sys, pack;"
        "pack.package(*map(pathlib.Path, sys.argv[1:3]), json.loads(sys.argv[3]))"
    )
    subprocess.run(
        [sys.executable, "-c", made, file, tmp_path / "mnedge_1.0_amd64.deb", json.dumps(words)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "packaging"), "SOURCE_DATE_EPOCH": "1767225600"},
        check=True,
    )
    listed = subprocess.check_output(
        ["dpkg-deb", "--contents", tmp_path / "mnedge_1.0_amd64.deb"], text=True
    )
    assert "./usr/lib/mnedge/mnedge.release.json" in listed
