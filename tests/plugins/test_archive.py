import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.plugins import archive
from mnedge.plugins.archive import Archive, Entry, Folder, entry_problems, name_problem
from tests.plugins.wheels import files_of, unpacked, wheel


@given(st.text(max_size=40))
def test_no_name_that_is_taken_leaves_its_folder(path):
    if not name_problem(path):
        whole = os.path.normpath(os.path.join("/depot", path))
        assert whole == f"/depot/{path}"


@pytest.mark.parametrize("path", ["ä" * 130, "a/" + "b" * 256, "\udc80", "a/./b", "a/"])
def test_names_that_no_disk_takes_are_refused(path):
    assert name_problem(path)


def said(*entries):
    return [problem.message for problem in entry_problems(entries)]


def test_files_are_taken_and_links_pipes_and_twins_are_not():
    assert said(Entry("a/b.py", 1, 0), Entry("c.py", 1, stat.S_IFREG | 0o644)) == []
    assert said(Entry("a", 1, stat.S_IFLNK)) == ["'a' is a link"]
    assert said(Entry("a", 1, stat.S_IFIFO)) == ["'a' is no plain file"]
    assert said(Entry("a", 1, 0), Entry("a", 1, 0)) == ["a stands in it twice"]
    assert said(Entry("a", 1, 0), Entry("a/b/c", 1, 0)) == ["a/b/c lies in what is a file"]


def test_too_many_files_and_too_many_bytes_are_refused(monkeypatch):
    monkeypatch.setattr(archive, "MOST_FILES", 1)
    assert said(Entry("a", 1, 0), Entry("b", 1, 0)) == ["it holds 2 files; 1 are allowed"]
    monkeypatch.setattr(archive, "MOST_BYTES", 100)
    assert said(Entry("a", 101, 0)) == ["it would take 101 bytes; 100 are allowed"]


def test_a_folder_is_held_where_nobody_finds_it_any_more(tmp_path):
    folder = Folder(unpacked(tmp_path / "site", files_of()), "acme_runner-1.0.dist-info")
    (tmp_path / "site").rename(tmp_path / "elsewhere")
    assert "acme_runner.py" in {entry.path for entry in folder.entries()}
    with folder.open("acme_runner.py") as file:
        assert file.read()


def test_an_archive_and_a_folder_hold_the_same(tmp_path):
    packed = Archive(wheel(tmp_path))
    folder = Folder(unpacked(tmp_path / "site", files_of()), "acme_runner-1.0.dist-info")
    assert [*packed.archive_problems()] == []
    one = {entry.path: entry.size_bytes for entry in packed.entries()}
    assert one == {entry.path: entry.size_bytes for entry in folder.entries()}
    with packed.open("acme_runner.py") as here, folder.open("acme_runner.py") as there:
        assert here.read() == there.read()
    packed.close()
