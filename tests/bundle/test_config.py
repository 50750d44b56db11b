"""Layers of config, settings on top of them, and texts filled in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.bundle.config import (
    ConfigInvalidError,
    as_text,
    filled,
    for_run,
    look_up,
    merged,
    resolve,
    with_setting,
)

OBJECTS = st.recursive(
    st.none() | st.integers(0, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2)
    ),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), OBJECTS, max_size=3)


def config_of(*layers, **more):
    return resolve("b", "B", list(layers), **{"environ": {}, **more}).config


@given(DOCUMENTS)
def test_merging_with_nothing_changes_nothing(document):
    assert merged(document, {}) == document
    assert merged({}, document) == document
    assert merged(document, document) == document


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_the_last_layer_is_found_in_the_result(one, two, three):
    result = merged(merged(one, two), three)
    for key, value in three.items():
        if not isinstance(value, dict):
            assert result[key] == value
    assert merged(one, merged(two, three)).keys() == result.keys()


def test_objects_merge_and_everything_else_replaces():
    below = {"a": {"x": 1, "y": [1, 2]}, "b": {"x": 1}, "c": 1}
    above = {"a": {"y": [3]}, "b": None, "d": {"z": 1}}
    assert merged(below, above) == {"a": {"x": 1, "y": [3]}, "b": None, "c": 1, "d": {"z": 1}}


def test_merging_shares_nothing():
    below, above = {"a": {"x": []}}, {"b": [{}]}
    result = merged(below, above)
    result["a"]["x"].append(1)
    result["b"][0]["y"] = 1
    assert (below, above) == ({"a": {"x": []}}, {"b": [{}]})


def test_a_bundle_that_says_nothing_gets_the_shared_defaults():
    config = config_of()
    assert config["identity"] == {"blueprint_id": "b", "name": "B"}
    assert config["outputs"]["adapter"] == "local_run_store"
    assert config["human_control"]["mode"] == "disabled"
    assert len(config) == 14


def test_layers_are_laid_in_the_documented_order(tmp_path):
    file = tmp_path / "more.json"
    file.write_text(json.dumps({"x": {"path": 1, "a": "path"}}))
    environ = {
        "MN_BLUEPRINT_CONFIG_PATH": str(file),
        "MN_BLUEPRINT_CONFIG_JSON": '{"x": {"json": 1, "a": "json"}}',
        "MN_RUN_ID": "r1",
        "MN_RUNS_ROOT": "/runs",
        "MN_BLUEPRINT_REVISION": "v2",
    }
    resolved = resolve(
        "b",
        "B",
        [
            ("config/default.json", {"x": {"a": "default"}}),
            ("config/overwrite.json", {"x": {"b": 1}}),
        ],
        overrides={"x": {"a": "override"}},
        settings=["x.a=set", "identity.run_id=other"],
        environ=environ,
    )
    assert resolved.config["x"] == {"a": "set", "b": 1, "path": 1, "json": 1}
    assert resolved.config["identity"]["run_id"] == "r1"
    assert resolved.config["identity"]["revision"] == "v2"
    assert resolved.config["outputs"]["run_root"] == "/runs"
    assert resolved.sources == [
        "defaults",
        "config/default.json",
        "config/overwrite.json",
        "MN_BLUEPRINT_CONFIG_PATH",
        "MN_BLUEPRINT_CONFIG_JSON",
        "overrides",
        "--set x.a",
        "--set identity.run_id",
        "environment",
    ]
    assert resolved.problems == []


@pytest.mark.parametrize(
    "environ, says",
    [
        ({"MN_BLUEPRINT_CONFIG_PATH": "/no/such/file"}, "No such file"),
        ({"MN_BLUEPRINT_CONFIG_JSON": "[1]"}, "must be a JSON object"),
        ({"MN_BLUEPRINT_CONFIG_JSON": "{"}, "expecting property name"),
        ({"MN_BLUEPRINT_CONFIG_JSON": "\udcff"}, "not UTF-8"),
    ],
)
def test_a_layer_from_outside_that_cannot_be_used_is_told(environ, says):
    resolved = resolve("b", "B", [], environ=environ)
    [problem] = resolved.problems
    assert (problem.code, problem.severity, problem.file) == (
        "config.layer_invalid",
        "error",
        next(iter(environ)),
    )
    assert says in problem.message


@pytest.mark.parametrize(
    "setting, path, value",
    [
        ("a.b=3", "a.b", 3),
        ("a.b=", "a.b", ""),
        ("a.b=true", "a.b", True),
        ('a={"x": [1]}', "a.x.0", 1),
        ("a.b=some text = more", "a.b", "some text = more"),
        ("list.1=z", "list.1", "z"),
        ("list.0.x=1", "list.0.x", 1),
        ("text.x=1", "text.x", 1),
    ],
)
def test_a_setting_lands_where_its_path_leads(setting, path, value):
    config = {"list": [{}, "b"], "text": "t"}
    assert look_up(with_setting(config, setting), path) == value
    assert config == {"list": [{}, "b"], "text": "t"}


@pytest.mark.parametrize("setting", ["a", "=1", "a..b=1", ".a=1", "list.9=1", "list.x=1"])
def test_a_setting_that_cannot_be_used_is_refused(setting):
    with pytest.raises(ConfigInvalidError) as caught:
        with_setting({"list": [1]}, setting)
    assert setting in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "path, found",
    [
        ("a.b.1", 2),
        ("a.b", [1, 2]),
        ("a.b.9", None),
        ("a.b.x", None),
        ("a.gone.x", None),
        ("", None),
    ],
)
def test_a_path_walks_through_objects_and_lists(path, found):
    assert look_up({"a": {"b": [1, 2]}}, path) == found


def test_texts_are_filled_all_through():
    config = {"db": {"host": "h", "port": 5432, "on": True, "list": [1], "none": None}}
    value = {
        "url": "tcp://${config.db.host}:${config.db.port}/${config.db.gone}",
        "list": ["${config.db.on}", "${config.db.list}", "${config.db.none}", 7],
        "other": "${payload.x} ${run_id} $HOME ${env.HOME}",
    }
    assert filled(value, config) == {
        "url": "tcp://h:5432/",
        "list": ["true", "[1]", "", 7],
        "other": "${payload.x} ${run_id} $HOME ${env.HOME}",
    }


def test_the_environment_is_filled_in_where_it_is_given():
    assert filled("${env.A}-${env.B}", {}, {"A": "1"}) == "1-"


def test_filling_in_happens_once():
    assert filled("${config.a}", {"a": "${config.b}", "b": "x"}) == "${config.b}"


@pytest.mark.parametrize(
    "value, text", [(None, ""), ("a", "a"), (True, "true"), (1.5, "1.5"), ({"a": "é"}, '{"a":"é"}')]
)
def test_a_value_as_text(value, text):
    assert as_text(value) == text


def test_the_config_of_a_run_names_the_run():
    config = for_run(config_of(), "r1", "/runs")
    assert config["identity"]["run_id"] == "r1"
    assert config["outputs"]["run_root"] == "/runs"
    assert config["outputs"]["write_run_store"] is True


@pytest.mark.parametrize("outputs", [None, [], {"write_run_store": False}])
def test_the_config_of_a_run_survives_odd_outputs(outputs):
    config = for_run({"outputs": outputs, "identity": 3}, "r1", "/runs")
    wanted = outputs == {"write_run_store": False}
    assert config["outputs"]["write_run_store"] is not wanted
    assert config["identity"] == {"run_id": "r1"}
