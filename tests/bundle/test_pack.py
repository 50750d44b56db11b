"""Bundles as blobs, and back."""

import os

from mnedge.bundle.archive import unpack
from mnedge.bundle.files import FolderFiles
from mnedge.bundle.fingerprint import directory_digest
from mnedge.bundle.pack import packed
from tests.bundle.making import Parts


def test_what_was_packed_comes_back_the_same(tmp_path):
    root = Parts().written(tmp_path)
    (root / "payloads/empty").mkdir()
    (root / "payloads/run.sh").write_text("#!")
    (root / "payloads/run.sh").chmod(0o755)
    unpack(packed(root), tmp_path / "again")
    before, after = FolderFiles(root), FolderFiles(tmp_path / "again")
    assert directory_digest(after) == directory_digest(before)
    assert after.folders() == before.folders()
    assert os.access(tmp_path / "again/payloads/run.sh", os.X_OK)


def test_the_same_files_give_the_same_bytes(tmp_path):
    one = Parts().written(tmp_path / "one")
    two = Parts().written(tmp_path / "two")
    for path in two.rglob("*"):
        os.utime(path, (1, 1))
    (two / "README.md").chmod(0o600)
    assert packed(one) == packed(two)


def test_links_are_not_packed(tmp_path):
    root = Parts().written(tmp_path)
    before = packed(root)
    (root / "payloads/link").symlink_to("/etc/passwd")
    assert packed(root) == before
