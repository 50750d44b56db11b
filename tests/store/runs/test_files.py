"""Files of a run folder are written whole, inside their folder, and read with care."""

import os
import tracemalloc

import pytest

from mnedge import faults
from mnedge.faults import InjectedFaultError
from mnedge.store.runs.files import (
    RunIdInvalidError,
    open_to_read,
    pretty,
    read_json,
    read_plain,
    remove_temporaries,
    replace_file,
    run_folder_path,
    stamp_of,
    sync_paths,
)


def test_a_run_folder_lies_below_its_root(tmp_path):
    assert run_folder_path(tmp_path, "a-1.b:c_d") == tmp_path / "a-1.b:c_d"
    with pytest.raises(RunIdInvalidError) as met:
        run_folder_path(tmp_path, "../x")
    assert "letters" in met.value.hint


def test_json_for_people_is_sorted_indented_and_not_escaped():
    assert pretty({"b": [1, {}], "a": "é", "c": []}) == (
        '{\n  "a": "é",\n  "b": [\n    1,\n    {}\n  ],\n  "c": []\n}\n'.encode()
    )


def test_a_file_is_replaced_whole_and_its_stamp_known(tmp_path):
    path = tmp_path / "run.json"
    first = replace_file(path, b"one")
    assert stamp_of(path) == first
    second = replace_file(path, b"two", durably=True)
    assert (path.read_bytes(), stamp_of(path)) == (b"two", second)
    assert first != second
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize("point, content", [("before", b"one"), ("after", b"two")])
def test_a_crash_leaves_the_old_or_the_new_content(tmp_path, point, content):
    path = tmp_path / "run.json"
    replace_file(path, b"one")
    with faults.armed(f"runs.rename.{point}:1:raise"), pytest.raises(InjectedFaultError):
        replace_file(path, b"two")
    assert path.read_bytes() == content


def test_what_a_crash_left_is_removed_and_what_others_call_alike_is_not(tmp_path):
    names = [".run.json.part", ".events.jsonl.part", ".events.012.jsonl.part",
             ".logs.index.json.part"]  # fmt: skip
    for name in [*names, ".mine.json.part", "run.json.part", ".events.jsonl"]:
        (tmp_path / name).write_text("x")
    remove_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".events.jsonl", ".mine.json.part", "run.json.part"]


def test_a_folder_in_the_place_of_a_file_is_moved_aside(tmp_path):
    for content in (b"one", b"two"):
        path = tmp_path / "run.json"
        path.unlink(missing_ok=True)
        path.mkdir()
        (path / "kept").write_text("x")
        replace_file(path, content)
        assert path.read_bytes() == content
    assert (tmp_path / "run.json.1" / "kept").exists()
    assert (tmp_path / "run.json.2" / "kept").exists()


def test_only_plain_files_are_read(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"{}")
    (tmp_path / "link").symlink_to(plain)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert read_plain(plain) == b"{}"
    assert read_plain(plain, limit_bytes=1) is None
    for name in ("link", "folder", "pipe", "absent"):
        assert read_plain(tmp_path / name) is None
        assert read_json(tmp_path / name) is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 10_000])
def test_what_is_no_json_reads_as_nothing(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert read_json(tmp_path / "x") is None


def test_syncing_skips_what_is_gone(tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    sync_paths([tmp_path / "x", tmp_path / "absent", tmp_path])


def test_a_file_is_opened_to_read_and_a_link_is_not(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"x")
    link.symlink_to(file)
    opened = open_to_read(file)
    assert opened is not None
    assert os.read(opened, 2) == b"x"
    os.close(opened)
    assert open_to_read(link) is None
    assert open_to_read(tmp_path / "nothing") is None


def test_reading_a_small_file_takes_little_memory(tmp_path):
    """A process may have little address space; 256 MB were asked for once, for every file."""
    (tmp_path / "small").write_text("{}")
    tracemalloc.start()
    try:
        assert read_plain(tmp_path / "small") == b"{}"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
