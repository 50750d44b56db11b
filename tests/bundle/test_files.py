"""The files of a bundle, on disk and by name."""

import os
import socket

import pytest

from mnedge.bundle import files as module
from mnedge.bundle.files import FilesLimitError, FolderFiles, ListedFiles, tidy, unsafe_path


@pytest.fixture
def folder(tmp_path):
    for name in ("manifest.json", "payloads/a/run.py", "config/default.json", ".git/HEAD"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()
    return tmp_path


def unsafe(folder):
    return {found.name: found.reason for found in FolderFiles(folder).unsafe}


def test_a_folder_is_listed_in_order_without_what_tools_keep_there(folder):
    files = FolderFiles(folder)
    assert files.names() == ["config/default.json", "manifest.json", "payloads/a/run.py"]
    assert files.folders() == ["config", "empty", "payloads", "payloads/a"]
    assert files.unsafe == []


def test_files_and_folders_are_told_apart(folder):
    files = FolderFiles(folder)
    assert files.is_file("payloads/a/run.py")
    assert files.is_dir("payloads/a")
    assert files.is_dir("empty")
    assert not files.is_file("payloads")
    assert not files.is_dir("manifest.json")
    assert not files.is_file("../manifest.json")


def test_content_and_size_are_those_on_disk(folder):
    files = FolderFiles(folder)
    assert files.read("manifest.json") == b"manifest.json"
    assert files.size("manifest.json") == 13
    assert files.read("gone") is None
    assert files.size("gone") is None


def test_a_link_out_of_the_bundle_is_unsafe(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text("s")
    (folder / "README.md").symlink_to(outside)
    (folder / "etc").symlink_to("/etc")
    assert unsafe(folder) == {
        "README.md": "is a symbolic link out of the bundle",
        "etc": "is a symbolic link out of the bundle",
    }
    assert FolderFiles(folder).read("README.md") is None


def test_a_link_inside_the_bundle_is_a_file_unless_it_is_a_payload(folder):
    (folder / "README.md").symlink_to("manifest.json")
    (folder / "payloads/link").symlink_to("a/run.py")
    (folder / "dangling").symlink_to("gone")
    files = FolderFiles(folder)
    assert files.read("README.md") == b"manifest.json"
    assert {found.name for found in files.unsafe} == {"payloads/link", "dangling"}


def test_links_in_a_circle_are_unsafe(folder):
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    assert set(unsafe(folder)) == {"a", "b"}


def test_pipes_and_sockets_are_no_files(folder):
    os.mkfifo(folder / "payloads/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "sock"))
        assert unsafe(folder) == {
            "payloads/pipe": "is neither a file nor a folder",
            "sock": "is neither a file nor a folder",
        }


def test_a_name_that_is_no_text_is_unsafe_and_can_be_shown(folder):
    os.close(os.open(os.fsencode(folder) + b"/x\xff", os.O_CREAT))
    assert unsafe(folder) == {"x\\udcff": "its name is not UTF-8"}


def test_a_folder_with_too_many_files_is_refused(folder, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 3)
    with pytest.raises(FilesLimitError, match="more than 3 files"):
        FolderFiles(folder)


def test_folders_without_end_are_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_DEPTH", 3)
    (tmp_path / "a/b/c/d/e").mkdir(parents=True)
    assert list(unsafe(tmp_path)) == ["a/b/c/d"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        FolderFiles(tmp_path / "gone")


def test_listed_files_know_their_folders():
    files = ListedFiles(["a/b/c.txt"], {"manifest.json": b"{}"})
    assert files.names() == ["a/b/c.txt", "manifest.json"]
    assert files.is_dir("a/b")
    assert files.is_dir("")
    assert files.read("a/b/c.txt") is None
    assert files.read("manifest.json") == b"{}"
    assert (files.size("manifest.json"), files.size("a/b/c.txt")) == (2, None)


@pytest.mark.parametrize("path", ["a", "a/b", "./a", "a/./b", "..a/b..", "a//b", "é", " "])
def test_safe_paths_are_safe(path):
    assert unsafe_path(path) == ""


@pytest.mark.parametrize(
    "path, reason",
    [
        ("", "is empty"),
        ("/a", "is absolute"),
        ("C:/a", "is absolute"),
        ("..", "contains `..`"),
        ("a/../b", "contains `..`"),
        ("a\\..\\b", "contains a backslash"),
        ("a\0", "contains a control character"),
        ("a\nb", "contains a control character"),
        ("a" * 256, "has a part longer than 255 bytes"),
    ],
)
def test_other_paths_say_why_they_are_not(path, reason):
    assert unsafe_path(path) == reason


@pytest.mark.parametrize("path, tidied", [("./a//b/", "a/b"), (".", ""), ("a/./b", "a/b")])
def test_a_path_is_tidied(path, tidied):
    assert tidy(path) == tidied
