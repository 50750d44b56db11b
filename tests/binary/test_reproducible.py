"""Two builds of one commit, in two folders, are the same to the last byte."""

import os
import shutil
import subprocess
from hashlib import sha256

import pytest

from tests.house.tree import ROOT, files

pytestmark = pytest.mark.live


def sums(folder):
    """Return what is there: every file's sum, mode and target, by name."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_another_folder_gives_the_same_files(shipped, tmp_path):
    first = shipped / ".mnedge.made-from"
    assert first.is_file(), "`make binary` makes what is compared"
    made_from, _, epoch = first.read_text().rpartition("\n")
    other = tmp_path / "another folder"
    for path in files():
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, other / path)
    done = subprocess.run(
        ["packaging/build.sh"],
        cwd=other,
        env=os.environ | {"SOURCE_DATE_EPOCH": epoch, "PYTHON": str(ROOT / ".venv/bin/python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    again = other / "dist" / ".mnedge.made-from"
    assert again.read_text().startswith(made_from), "the sources changed since `make binary`"
    found, expected = sums(other / "dist"), sums(shipped)
    shutil.rmtree(other)
    ours = {name for name in expected if "mnedge-full" not in name and name != "SHA256SUMS"}
    assert {"mnedge", "mnedge.cdx.json", "onedir/mnedge/mnedge"} <= ours
    assert {name for name in ours if found.get(name) != expected[name]} == set()
    assert set(found) - {"SHA256SUMS"} == ours
