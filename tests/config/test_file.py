from pathlib import Path

from mnedge.config.file import read_file, read_text


def test_a_file_is_read_with_the_place_of_every_value(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("node: edge-7\nrelay:\n  limits: {maxBody: 1Mi}\n")
    held = read_file(path)
    assert held.problems == ()
    assert held.settings.node == "edge-7"
    assert held.settings.relay.limits.max_body == 1 << 20
    assert held.places["relay.limits.maxBody"].line == 3


def test_a_byte_order_mark_and_json_are_welcome(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b'\xef\xbb\xbf{"node": "a"}')
    assert read_file(path).settings.node == "a"


def test_what_cannot_be_read_is_a_problem(tmp_path):
    assert read_file(tmp_path).problems[0].rule == "CFG-E01"
    path = tmp_path / "config.yaml"
    path.write_bytes(b"node: \xff")
    [problem] = read_file(path).problems
    assert "UTF-8" in problem.message
    assert problem.source == str(path)


def test_a_file_that_the_node_may_not_read_says_how_to_let_it(tmp_path, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", closed)
    [problem] = read_file(tmp_path / "config.yaml").problems
    assert problem.message == "cannot be read: Permission denied"
    assert f"chgrp mnedge {tmp_path}/config.yaml" in problem.hint


def test_problems_come_in_the_order_of_the_file():
    held = read_text("b: 1\nnode: {a: 1}\nnode: x\na: 2\n", "f")
    assert [problem.line for problem in held.problems] == [1, 2, 3, 4]


def test_folders_are_absolute():
    held = read_text("data_dir: here\nruns_root: ~/runs\n", "f")
    assert [problem.path for problem in held.problems] == ["data_dir"]


def test_a_document_that_is_no_mapping_is_refused():
    [problem] = read_text("- a\n", "f").problems
    assert problem.expected == "a mapping"
