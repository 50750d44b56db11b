"""Config values pushed into the manifest."""

import pytest

from mnedge.bundle.bindings import Binding, applied, declared, leads_somewhere, put


def manifest():
    return {
        "graph_id": "g",
        "nodes": [
            {"node_id": "reader_1", "config": {"environment": {"A": "1"}}},
            {"node_id": "reader_2", "config": {}},
            {"id": "sink", "config": None},
        ],
    }


def config(*entries, **values):
    return {**values, "manifest_config_bindings": list(entries)}


def bound(source, target, **more):
    return {"config_path": source, "manifest_path": target, **more}


def test_a_value_takes_its_place():
    entry = bound("run.id", "nodes.reader_1.config.environment.RUN")
    result = applied(manifest(), config(entry, run={"id": "r1"}))
    assert result["nodes"][0]["config"]["environment"] == {"A": "1", "RUN": "r1"}


def test_the_manifest_itself_stays_as_it_was():
    original = manifest()
    applied(original, config(bound("x", "graph_id"), x="other"))
    assert original == manifest()


def test_older_names_of_the_members_are_read():
    entry = {"from": "x", "to": "graph_id"}
    assert applied(manifest(), config(entry, x="new"))["graph_id"] == "new"


@pytest.mark.parametrize("value, text", [(True, "true"), (3, "3"), ([1], "[1]"), ("a", "a")])
def test_a_value_can_become_text(value, text):
    result = applied(manifest(), config(bound("x", "graph_id", stringify=True), x=value))
    assert result["graph_id"] == text


def test_null_and_missing_values_are_left_out_unless_allowed():
    assert applied(manifest(), config(bound("x", "graph_id"), x=None))["graph_id"] == "g"
    assert applied(manifest(), config(bound("gone", "graph_id")))["graph_id"] == "g"
    allowed = config(bound("x", "graph_id", allow_null=True), x=None)
    assert applied(manifest(), allowed)["graph_id"] is None


@pytest.mark.parametrize(
    "path, count",
    [
        ("nodes.*.config.x", 2),
        ("nodes.reader_*.config.x", 2),
        ("nodes.1.config.x", 1),
        ("nodes.sink.label", 1),
        ("nodes.9.config.x", 0),
        ("nodes.gone.config.x", 0),
        ("graph_id.x", 0),
        ("new.place.x", 1),
        ("nodes.reader_2", 1),
    ],
)
def test_a_path_selects_by_position_id_and_prefix(path, count):
    document = manifest()
    document["nodes"][2]["config"] = "text"
    assert leads_somewhere(document, path) is (count > 0)
    assert put(document, path, 5) == count


def test_what_is_put_is_shared_with_nobody():
    document, value = manifest(), [1]
    put(document, "nodes.reader_*.config.x", value)
    document["nodes"][0]["config"]["x"].append(2)
    assert document["nodes"][1]["config"]["x"] == [1]
    assert value == [1]


def test_entries_that_cannot_be_used_change_nothing():
    broken = config(3, {"config_path": 1}, {"config_path": "x"}, x=1)
    assert applied(manifest(), broken) == manifest()
    assert all(isinstance(entry, str) for _, entry in declared(broken))
    assert list(declared({"manifest_config_bindings": {}})) == []


def test_a_usable_entry_is_read_whole():
    entry = bound("a", "b", stringify=True, allow_null="yes")
    assert list(declared(config(entry))) == [
        (0, Binding(source="a", target="b", stringify=True, allow_null=False))
    ]
