import pytest

from mnedge.execution.environment import (
    both_prefixes,
    host_environment,
    names_in,
    positive,
    python_named_by,
    substituted,
    text_of,
    truthy,
    whole,
    with_python,
    worker_command,
    worker_environment,
    workflow_variables,
)
from mnedge.execution.refusal import RefusedError

HOST = {
    "PATH": "/bin",
    "HOME": "/somewhere",
    "LANG": "C",
    "LC_ALL": "C",
    "TMPDIR": "/t",
    "TZ": "UTC",
    "USER": "u",
    "PYTHONPATH": "/p",
    "VIRTUAL_ENV": "/v",
    "LD_LIBRARY_PATH": "/l",
    "MN_HOME": "/h",
    "LLM_MOCK_MODE": "1",
    "LITELLM_API_KEY": "k",
}


def test_only_the_allow_list_reaches_a_worker():
    secret = {"AWS_SECRET_ACCESS_KEY": "x", "DATABASE_URL": "y", "MNEDGE_FAULT": "z", "PATHS": "n"}
    assert host_environment({**HOST, **secret}) == HOST


def test_with_the_switch_everything_does_but_what_is_about_ourselves():
    environ = {**HOST, "OTHER": "1", "MNEDGE_FAULT": "z", "_PYI_X": "1", "_MEIPASS2": "m"}
    assert host_environment(environ, inherit=True) == {**HOST, "OTHER": "1"}


def test_what_a_frozen_parent_brought_for_itself_is_undone():
    original = {**HOST, "LD_LIBRARY_PATH_ORIG": "/mine"}
    assert host_environment(original)["LD_LIBRARY_PATH"] == "/mine"
    assert host_environment(original, inherit=True)["LD_LIBRARY_PATH"] == "/mine"
    assert "LD_LIBRARY_PATH" not in host_environment({**HOST, "LD_LIBRARY_PATH_ORIG": ""})
    assert "LD_LIBRARY_PATH_ORIG" not in host_environment(original, inherit=True)


def test_later_sources_win_and_identity_wins_over_all():
    environment = worker_environment(
        {"A": "host", "B": "host", "PATH": "/bin"},
        {"B": "runtime", "MN_JOB_ID": "runtime", "MN_AGENT_TYPE": "executor"},
        {
            "environment": {"B": 1, "C": True, "D": None, "MN_JOB_ID": "lie", "MN_AGENT_TYPE": "x"},
            "pass_env": ["D", "E", "MISSING", 7, "MN_JOB_ID"],
        },
        {"D": "passed", "E": "passed", "SECRET": "kept back", "MN_JOB_ID": "other lie"},
        {"MN_JOB_ID": "true"},
    )
    assert environment == {
        "A": "host",
        "B": "1",
        "C": "true",
        "D": "passed",
        "E": "passed",
        "PATH": "/bin",
        "MN_JOB_ID": "true",
        "MN_AGENT_TYPE": "x",
    }


def test_a_state_of_another_trace_goes_with_its_parent():
    theirs = {"TRACEPARENT": "theirs", "TRACESTATE": "theirs"}
    found = worker_environment(theirs, {}, {}, {}, {"TRACEPARENT": "ours"})
    assert found == {"TRACEPARENT": "ours"}


def test_names_that_no_environment_can_hold_are_left_out():
    environment = worker_environment({}, {}, {"environment": {"": "x", "A=B": "y"}}, {}, {})
    assert environment == {}


def test_what_is_no_object_or_list_passes_nothing():
    assert worker_environment({}, {}, {"environment": [1], "pass_env": "HOME"}, HOST, {}) == {}


def test_variables_stand_under_both_prefixes_but_documents_only_once():
    assert both_prefixes({"MN_A": "1", "MN_B_JSON": "{}", "C": "2"}) == {
        "MN_A": "1",
        "MIRROR_NEURON_A": "1",
        "MN_B_JSON": "{}",
        "C": "2",
    }


def test_a_workflow_attempt_names_only_what_it_has():
    workflow = {"run_id": "r", "attempt": 2, "deadline_at": None, "template_id": "t", "x": 1}
    assert workflow_variables(workflow) == {
        "MN_WORKFLOW_RUN_ID": "r",
        "MN_WORKFLOW_ATTEMPT": "2",
        "MN_WORKFLOW_TEMPLATE_ID": "t",
    }


@pytest.mark.parametrize(
    "value,text",
    [("x", "x"), (None, ""), (True, "true"), (False, "false"), (3, "3"), (1.5, "1.5")],
)
def test_scalars_become_text(value, text):
    assert text_of(value) == text


def test_other_values_become_json():
    assert text_of({"a": [1]}) == '{"a":[1]}'


WORDS = {"input_file": "/w/in.json", "job_id": "j"}


@pytest.mark.parametrize(
    "text,double,expected",
    [
        ("{input_file}", False, "/w/in.json"),
        ("--in={input_file}:{job_id}", False, "--in=/w/in.json:j"),
        ("{unknown} {} {not a word}", False, "{unknown} {} {not a word}"),
        ("{{input_file}}", True, "/w/in.json"),
        ("{{ input_file }} {job_id}", True, "/w/in.json j"),
        ("{{unknown}}", True, "{{unknown}}"),
        ('awk {print} {"a": 1}', True, 'awk {print} {"a": 1}'),
    ],
)
def test_placeholders_are_replaced(text, double, expected):
    assert substituted(text, WORDS, double=double) == expected


@pytest.mark.parametrize(
    "declared,command",
    [
        (["run", "{job_id}", 3, True], ("run", "j", "3", "true")),
        ("run {job_id}", "run j"),
        (None, ("echo", "No command configured for host-local worker")),
        ([], ("echo", "No command configured for host-local worker")),
        (" ", ("echo", "No command configured for host-local worker")),
        ({"x": 1}, ("echo", "No command configured for host-local worker")),
    ],
)
def test_a_command_is_a_list_or_a_line_of_shell(declared, command):
    assert worker_command({"command": declared}, WORDS) == command


@pytest.mark.parametrize("declared", [["echo", "x" * 100], "echo " + "x" * 100])
def test_a_command_that_is_too_long_is_refused(declared):
    assert worker_command({"command": declared}, WORDS, max_bytes=105)
    with pytest.raises(RefusedError, match="command exceeds MN_MAX_COMMAND_LENGTH"):
        worker_command({"command": declared}, WORDS, max_bytes=104)


@pytest.mark.parametrize(
    "command,name",
    [
        (("python3", "x.py"), "python3"),
        (("python3.11",), "python3.11"),
        (("python", "x"), "python"),
        ("python3.12 x.py", "python3.12"),
        (("/usr/bin/python3", "x"), None),
        (("python2", "x"), None),
        (("pythonista",), None),
        ("echo python3", None),
        ("  ", None),
    ],
)
def test_an_interpreter_is_known_by_its_bare_name(command, name):
    assert python_named_by(command) == name


def test_an_interpreter_is_replaced_in_either_form():
    assert with_python(("python3", "a b"), "/v/bin/python") == ("/v/bin/python", "a b")
    assert with_python("python3  x.py 'a  b'", "/v/python") == "/v/python x.py 'a  b'"
    assert with_python("python3", "/v/python") == "/v/python"


def test_numbers_of_a_manifest_are_taken_only_if_they_are_some():
    assert [positive(v) for v in (1, 0.5, 0, -1, True, "3", None, float("nan"))] == [
        1.0,
        0.5,
        *[None] * 6,
    ]
    assert [whole(v, 7) for v in (1, 0, -1, True, 1.0, "3", None)] == [1, *[7] * 6]
    assert whole(0, 7, least=0) == 0
    assert [truthy(v) for v in (True, "true", "1", "Yes", 1, "on", None, False)] == [
        *[True] * 4,
        *[False] * 4,
    ]
    assert names_in(["a", 1, None, "b"]) == ["a", "b"]
    assert names_in("ab") == []
