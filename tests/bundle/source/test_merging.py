"""Parts of a source laid over each other."""

import pytest

from mnedge.bundle.source.merging import laid_over


def test_objects_merge_and_everything_else_is_replaced():
    below = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    assert laid_over(below, {"a": {"y": [3]}, "c": None}) == {
        "a": {"x": 1, "y": [3]},
        "b": 1,
        "c": None,
    }


def test_later_layers_are_on_top_and_those_that_are_no_objects_are_left_out():
    assert laid_over({"a": 1}, None, {"a": 2}, "text", {"a": 3}) == {"a": 3}


def test_a_key_can_be_deleted_at_any_depth():
    below = {"a": {"x": 1, "y": 2}, "b": 1}
    assert laid_over(below, {"a": {"x": {"$delete": True}}, "b": {"$delete": True}}) == {
        "a": {"y": 2}
    }
    assert laid_over({}, {"a": {"x": {"$delete": True}}}) == {"a": {}}
    assert laid_over({"a": 1}, {"a": {"$delete": False}}) == {"a": {"$delete": False}}


@pytest.mark.parametrize(
    "below, above, together",
    [
        (None, "new", "new"),
        ("old", "new", ["old", "new"]),
        ("old", "old", "old"),
        (["old", "older"], "new", ["old", "older", "new"]),
        (["old", "new"], "new", ["old", "new"]),
        (["old"], ["new"], ["new"]),
        ("old", [], []),
    ],
)
def test_stereotypes_add_up_unless_a_list_is_given(below, above, together):
    under = {} if below is None else {"stereotype": below}
    assert laid_over({"with": under}, {"with": {"stereotype": above}}) == {
        "with": {"stereotype": together}
    }


def test_nothing_is_shared_with_what_was_given():
    below, above = {"a": {"x": []}}, {"b": {"y": []}}
    both = laid_over(below, above)
    both["a"]["x"].append(1)
    both["b"]["y"].append(1)
    assert (below, above) == ({"a": {"x": []}}, {"b": {"y": []}})
