"""Files that stand in for values: rule S-06."""

import pytest

from mnedge.bundle.files import ListedFiles
from mnedge.bundle.source.sentinels import bundle_path, canonical, resolved

FILES = ListedFiles(
    ["listed.txt"],
    {
        "a.txt": "né".encode(),
        "b.json": b'{"y": 1, "x": [2]}',
        "bad.json": b"{\n nope",
        "latin.txt": b"\xff",
    },
)


def test_text_json_and_json_as_text():
    given = {
        "text": {"$file": "a.txt"},
        "parsed": [{"$json_file": "@/b.json"}],
        "string": {"deep": {"$json_string_file": "./b.json"}},
    }
    value, problems = resolved(given, FILES)
    assert problems == []
    assert value == {
        "text": "né",
        "parsed": [{"y": 1, "x": [2]}],
        "string": {"deep": '{"x":[2],"y":1}'},
    }


def test_an_object_with_more_members_is_no_reference():
    given = {"a": {"$file": "a.txt", "other": 1}}
    assert resolved(given, FILES) == (given, [])


@pytest.mark.parametrize(
    "reference, says",
    [
        ({"$file": "../a.txt"}, "contains `..`"),
        ({"$file": "/a.txt"}, "is absolute"),
        ({"$file": 3}, "is not a string"),
        ({"$file": "none.txt"}, "none.txt is not in the bundle"),
        ({"$file": "listed.txt"}, "listed.txt is not in the bundle"),
        ({"$file": "latin.txt"}, "is not UTF-8"),
        ({"$json_file": "bad.json"}, "bad.json is not JSON: expecting"),
        ({"$json_string_file": "bad.json"}, "(line 2, column 2)"),
    ],
)
def test_a_reference_that_names_nothing_good_is_told_with_its_place(reference, says):
    value, problems = resolved({"config": {"data": [reference]}}, FILES)
    (problem,) = problems
    assert (problem.rule, problem.severity) == ("S-06", "E")
    assert problem.at == ("config", "data", 0, next(iter(reference)))
    assert says in problem.message
    assert problem.hint
    assert value == {"config": {"data": [None]}}


def test_a_file_that_cannot_be_read_is_told():
    class Torn(ListedFiles):
        def read(self, name):
            raise PermissionError(13, "Permission denied")

    _, problems = resolved({"$file": "a.txt"}, Torn(["a.txt"]))
    assert "cannot be read: Permission denied" in problems[0].message


def test_canonical_text_does_not_depend_on_order():
    assert canonical({"b": 1, "a": {"d": "é", "c": None}}) == '{"a":{"c":null,"d":"é"},"b":1}'


def test_a_bundle_path_is_tidied():
    assert bundle_path("@/a//b/./c") == "a/b/c"
    with pytest.raises(TypeError):
        bundle_path(None)
