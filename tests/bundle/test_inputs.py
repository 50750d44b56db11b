"""What a run is given to work on."""

import json

import pytest

from mnedge.bundle.files import ListedFiles
from mnedge.bundle.inputs import compile_pattern, failed_patterns, resolve_inputs

FILES = ListedFiles(
    ["other.bin"],
    {"examples/in.json": b'{"from": "bundle"}', "bad.json": b"{", "list.json": b"[]"},
)


def resolved(section, **more):
    return resolve_inputs({"inputs": section}, FILES, **{"environ": {}, **more})


def refused(section, **more):
    [problem] = resolved(section, **more).problems
    assert (problem.rule, problem.severity, problem.file) == (
        "I-05",
        "error",
        "config/default.json",
    )
    assert problem.help
    return problem.message


def test_the_mock_adapter_takes_the_payload_then_the_scenario_then_nothing():
    assert resolved({"adapter": "mock", "payload": {"a": 1}}).payload == {"a": 1}
    assert resolved({"adapter": "mock", "payload": {}}, scenario={"b": 2}).payload == {"b": 2}
    assert resolved({"adapter": "mock"}).payload == {}
    assert resolved({}).source == {"adapter": "mock", "real_ready": False}


@pytest.mark.parametrize("section", [None, [], "x", {"adapter": "local_files"}, {"adapter": []}])
def test_anything_else_is_the_mock_adapter(section):
    inputs = resolved(section)
    assert (inputs.payload, inputs.source["adapter"], inputs.problems) == ({}, "mock", [])


def test_the_json_adapter_takes_the_payload():
    inputs = resolved({"adapter": "json", "payload": {"a": 1}, "description": "Mine."})
    assert inputs.payload == {"a": 1}
    assert inputs.source == {"adapter": "json", "real_ready": True, "description": "Mine."}


def test_the_json_adapter_falls_back_to_the_inline_adapter():
    config = {
        "inputs": {"adapter": "json"},
        "real_adapters": {"inline_json": {"payload": {"a": 1}}},
    }
    assert resolve_inputs(config, FILES, environ={}).payload == {"a": 1}


@pytest.mark.parametrize("payload", [None, [1], "x", 5])
def test_the_json_adapter_needs_an_object(payload):
    assert "no JSON object" in refused({"adapter": "json", "payload": payload})


def test_the_file_adapter_reads_a_file_of_the_operator(tmp_path):
    file = tmp_path / "today.json"
    file.write_text('{"gauge": 7}')
    inputs = resolved({"adapter": "file", "path": str(file)})
    assert inputs.payload == {"gauge": 7}
    assert inputs.source["path"] == str(file)


@pytest.mark.parametrize("path", ["@/examples/in.json", "examples/in.json"])
def test_the_file_adapter_reads_a_file_of_the_bundle(path):
    assert resolved({"adapter": "file", "path": path}).payload == {"from": "bundle"}


@pytest.mark.parametrize(
    "path, says",
    [
        (None, "inputs.path is not set"),
        (5, "inputs.path is not set"),
        ("@/../secret.json", "is not in the bundle"),
        ("@/gone.json", "is not in the bundle"),
        ("gone.json", "does not exist"),
        ("../gone.json", "does not exist"),
        ("@/other.bin", "is not in the bundle"),
        ("bad.json", "is not JSON: expecting property name"),
        ("list.json", "must hold a JSON object"),
        ("a\0b", "does not exist"),
        ("~nobody-has-this-name/x.json", "cannot be read"),
    ],
)
def test_the_file_adapter_says_what_is_wrong(path, says):
    assert says in refused({"adapter": "file", "path": path})


def test_the_environment_adapter_reads_a_variable():
    environ = {"MN_BLUEPRINT_INPUT_JSON": '{"a": 1}', "MINE": '{"b": 2}'}
    assert resolved({"adapter": "env_json"}, environ=environ).payload == {"a": 1}
    assert resolved({"adapter": "env_json", "env": "MINE"}, environ=environ).payload == {"b": 2}


@pytest.mark.parametrize(
    "environ, says",
    [
        ({}, "MN_BLUEPRINT_INPUT_JSON is not set"),
        ({"MN_BLUEPRINT_INPUT_JSON": ""}, "is not set"),
        ({"MN_BLUEPRINT_INPUT_JSON": "{"}, "is not JSON"),
        ({"MN_BLUEPRINT_INPUT_JSON": "3"}, "must hold a JSON object"),
    ],
)
def test_the_environment_adapter_says_what_is_wrong(environ, says):
    assert says in refused({"adapter": "env_json"}, environ=environ)


def test_inputs_that_are_given_replace_the_config():
    given = {"a": []}
    inputs = resolved({"adapter": "file", "path": "gone"}, given=given)
    assert inputs.payload == given
    assert inputs.payload["a"] is not given["a"]
    assert inputs.source == {"adapter": "json", "real_ready": True}


CONFIG = {"inputs": {"payload": {"zip": "10115", "tags": ["a"], "count": 3}}}


def failed(**rule):
    return failed_patterns([{"type": "pattern", **rule}], CONFIG, {"graph_id": "g_v1"})


@pytest.mark.parametrize(
    "rule",
    [
        {"path": "inputs.payload.zip", "pattern": "^[0-9]{5}$"},
        {"input": "inputs.payload.tags.0", "pattern": "A"},
        {"path": "inputs.payload.count", "pattern": "3"},
        {"path": "graph_id", "source": "manifest", "pattern": "_v1$"},
        {"path": "gone", "pattern": "x", "required": False},
        {"path": "gone", "pattern": 3},
        {"path": "inputs.payload.zip", "pattern": "("},
    ],
)
def test_a_rule_that_holds_says_nothing(rule):
    assert failed(**rule) == []


@pytest.mark.parametrize(
    "rule, says",
    [
        ({"path": "inputs.payload.zip", "pattern": "^9"}, "does not match '^9'"),
        ({"path": "inputs.payload.tags.0", "pattern": "A", "ignore_case": False}, "does not match"),
        ({"path": "inputs.payload.gone", "pattern": "x"}, "is required"),
        ({"path": "gone", "pattern": "x", "message": "Give a zip."}, "Give a zip."),
        ({"path": "gone", "pattern": "x", "name": "zip"}, "input rule 'zip'"),
    ],
)
def test_a_rule_that_fails_is_an_error_of_the_launch(rule, says):
    [problem] = failed(**rule)
    assert (problem.rule, problem.severity) == ("I-06", "error")
    assert says in problem.message
    assert problem.help


def test_a_rule_brings_its_own_help():
    assert failed(path="gone", pattern="x", fix="Ask the city.")[0].help == "Ask the city."
    assert failed(path="gone", pattern="x", source="manifest")[0].file == "manifest.json"


@pytest.mark.parametrize("pattern", ["", "(", "a" * 2001, "(?P<a>)(?P<a>)"])
def test_a_pattern_that_cannot_be_used_says_why(pattern):
    assert isinstance(compile_pattern(pattern), str)


def test_a_pattern_with_a_warning_compiles_in_silence():
    assert not isinstance(compile_pattern("[[a]"), str)


def test_inputs_can_be_written_down():
    assert json.dumps(resolved({"adapter": "json", "payload": {"a": 1}}).payload)
