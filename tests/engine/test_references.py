"""References in the fields of a step's start and end."""

import pytest

from mnedge.engine.references import (
    missing,
    output_of,
    paths_asked,
    plain_list,
    references,
    resolved,
    unwrapped,
)
from mnedge.model.body import BlobRef, Gathered
from mnedge.model.states import AgentKind


def test_what_a_reference_names_takes_its_place():
    fields = {"a": {"$ref": "upstream", "step_id": "s", "path": ["x", 0]}, "b": [1, {"c": None}]}
    asked = []

    def lookup(source, step_id, path):
        asked.append((source, step_id, path))
        return "found"

    assert resolved(fields, lookup) == {"a": "found", "b": [1, {"c": None}]}
    assert asked == [("upstream", "s", ("x", "0"))]


@pytest.mark.parametrize("reference", [{"$ref": None}, {"$ref": 3, "path": ["a"]}])
def test_a_reference_to_nothing_is_null(reference):
    assert resolved({"a": reference}, lambda *_: "found") == {"a": None}


def test_all_references_are_found():
    one, two = {"$ref": "run_input", "path": ["a"]}, {"$ref": "flow_output"}
    assert list(references({"x": [one, {"y": two}], "z": 3})) == [one, two]


def test_what_is_null_is_missing():
    schema = {"required": ["a", "b", "c", 4]}
    assert missing(schema, {"a": 0, "b": None}) == ["b", "c"]
    assert missing({"type": "list", "required": ["a"]}, {}) == []
    assert missing(None, {}) == missing({"required": "a"}, {}) == []


def test_outputs_come_before_the_body():
    assert output_of({"outputs": {"x": 1}, "x": 2}, ("x",)) == 1
    assert output_of({"x": 2}, ("x",)) == 2
    assert output_of({"x": 2}, ()) == {"x": 2}
    assert output_of({"outputs": {}}, ()) == {}


def test_a_reference_to_a_blob_gives_what_was_kept_of_it():
    kept = BlobRef("sha256:ab", 9, values={"outputs.x": 1, "y": 2})
    assert (output_of(kept, ("x",)), output_of(kept, ("y",))) == (1, 2)
    assert output_of(kept, ()) is kept


def test_the_innermost_object_is_unwrapped():
    assert unwrapped({"kwargs": {"input": {"body": "text", "data": {"n": 1}}}}) == {"n": 1}
    assert unwrapped("text") == "text"


def test_lists_are_lists():
    view = Gathered([1, 2, 3], 2, owner=0)
    assert [plain_list(one) for one in (None, [1], view, "a")] == [[], [1], [1, 2], ["a"]]


def test_paths_are_asked_for_by_those_who_resolve_them():
    config = {"fields": {"a": {"$ref": "run_input", "path": ["z"]}, "b": {"$ref": "flow_output"}}}
    assert "kwargs.z" in paths_asked(AgentKind.STEP_SOURCE, config)
    assert "artifacts" in paths_asked(AgentKind.STEP_JOIN, config)
    assert paths_asked(AgentKind.ROUTER, config) == []
