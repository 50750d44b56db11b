"""The step runtime stood in for: what handlers are given, and what their results become."""

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from mnedge.bundle.source import sdk_step_runtime as runtime
from mnedge.bundle.source.stand_in import laid_out


@pytest.fixture
def call(tmp_path):
    """Run `python -m mn_sdk.step_runtime` on a handler module."""
    sdk = laid_out(tmp_path / "sdk")
    work = tmp_path / "work"
    work.mkdir()

    def run(text, name="handler", check=True, message=None, **environ):
        (work / "handler.py").write_text(text)
        (work / "message.json").write_text(json.dumps(message or {}))
        return subprocess.run(
            [sys.executable, "-S", "-m", "mn_sdk.step_runtime"],
            cwd=work,
            env={
                "PYTHONPATH": str(sdk),
                "PYTHONDONTWRITEBYTECODE": "1",
                "MN_WORKFLOW_STEP_HANDLER": name,
                "MN_MESSAGE_FILE": str(work / "message.json"),
                **environ,
            },
            capture_output=True,
            text=True,
            check=check,
        )

    return run


def test_a_handler_is_called_with_its_context_and_its_arguments(call):
    told = call(
        "def run(context, limit, unit='m'):\n"
        "    return {'outputs': {'step': context.step_id, 'limit': limit, 'unit': unit,\n"
        "            'sent': context.message['body'], 'config': context.config}}",
        message={"body": {"a": 1}},
        MN_WORKFLOW_STEP_WITH_JSON='{"limit": 3}',
        MN_WORKFLOW_STEP_ID="judge",
        MN_RUN_ID="run-1",
        MN_BLUEPRINT_CONFIG_JSON='{"c": 2}',
    )
    assert json.loads(told.stdout) == {
        "outputs": {
            "step": "judge",
            "limit": 3,
            "unit": "m",
            "sent": {"a": 1},
            "config": {"c": 2},
        },
        "status": "completed",
        "workflow_step_id": "judge",
        "run_id": "run-1",
        "runtime_step_mode": "manifest_handler",
    }


def test_a_handler_may_be_named_with_its_function_and_needs_no_context(call):
    told = call("def other(limit=2):\n    return limit", name="handler:other")
    assert json.loads(told.stdout)["outputs"] == 2


def test_a_handler_answers_with_the_words_of_the_sdk(call):
    told = call(
        "from mn_sdk.step_runtime import receive_input, send_output\n"
        "def run(context):\n"
        "    given = receive_input(context)\n"
        "    return send_output({'n': given.payload['n'] + 1}, metrics={'m': 1})",
        message={"body": {"sandbox": {"stdout": '{"outputs": {"n": 4}}'}, "input": {"n": 0}}},
    )
    assert json.loads(told.stdout) == {
        "outputs": {"n": 5},
        "artifacts": [],
        "events": [],
        "metrics": {"m": 1},
        "status": "completed",
        "runtime_step_mode": "manifest_handler",
    }


def test_what_a_handler_prints_does_not_spoil_the_answer(call):
    told = call(
        "import sys\n"
        "def run():\n"
        "    print('hello')\n"
        '    print(\'__MN_EVENT__ {"type": "x"}\')\n'
        "    sys.stdout.write('unfinished')"
    )
    assert told.stderr == "hello\nunfinished"
    event, answer = told.stdout.splitlines()
    assert event == '__MN_EVENT__ {"type": "x"}'
    assert json.loads(answer)["status"] == "completed"


def test_the_answer_goes_into_a_file_where_one_is_named(call, tmp_path):
    target = tmp_path / "deep" / "result.json"
    told = call("def run():\n    return {'outputs': {'é': 1}}", MN_STEP_RESULT_FILE=str(target))
    assert told.stdout == ""
    assert json.loads(target.read_text())["outputs"] == {"é": 1}
    assert [file.name for file in target.parent.iterdir()] == ["result.json"]


def test_a_handler_that_fails_or_is_not_there_fails_the_process(call):
    told = call("def run():\n    raise ValueError('too wet')", check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert "ValueError: too wet" in told.stderr
    assert "has no function run" in call("x = 1", check=False).stderr
    assert "names no handler" in call("x = 1", name="", check=False).stderr
    bad = call("def run(): ...", check=False, MN_WORKFLOW_STEP_WITH_JSON="[]")
    assert "must hold a JSON object" in bad.stderr


def test_beacons_are_sent_while_a_handler_works(call):
    told = call(
        "import threading\ndef run():\n    threading.Event().wait(0.35)",
        MN_AGENT_BEACON_STDOUT_PREFIX="__MN_AGENT_BEACON__",
        MN_AGENT_BEACON_INTERVAL_MS="100",
    )
    *beacons, answer = told.stdout.splitlines()
    assert set(beacons) == {'__MN_AGENT_BEACON__ {"status": "working"}'}
    assert json.loads(answer)["status"] == "completed"


def test_modules_of_the_bundle_are_found(call, tmp_path):
    payloads = tmp_path / "bundle" / "payloads" / "steps"
    payloads.mkdir(parents=True)
    (payloads / "deep.py").write_text("def run():\n    return {'outputs': {'deep': True}}")
    told = call("", name="steps.deep", MN_BLUEPRINT_BUNDLE_DIR=str(tmp_path / "bundle"))
    assert json.loads(told.stdout)["outputs"] == {"deep": True}


def test_a_context_says_where_the_handler_stands(tmp_path):
    context_file = tmp_path / "context.json"
    context_file.write_text('{"workflow": {"step_id": "worker[2]"}}')
    context = runtime.StepContext.from_environment(
        {
            "MN_CONTEXT_FILE": str(context_file),
            "MN_WORKFLOW_STEP_ID": "worker",
            "MN_WORKFLOW_RUN_ID": "run-1",
            "MN_WORKFLOW_ATTEMPT": "3",
            "MN_WORKFLOW_ATTEMPT_ID": "worker:attempt:3",
            "MN_WORKFLOW_IDEMPOTENCY_KEY": "key",
            "MN_WORKFLOW_GRAPH_REVISION": "odd",
            "MN_AGENT_ID": "node",
            "MN_WORKFLOW_AGENT_ID": "looker",
            "MN_MESSAGE_FILE": str(tmp_path / "gone.json"),
        }
    )
    assert (context.step_id, context.run_id, context.attempt) == ("worker[2]", "run-1", 3)
    assert (context.attempt_id, context.idempotency_key) == ("worker:attempt:3", "key")
    assert (context.graph_revision, context.agent_id, context.message) == (0, "looker", {})


def given(message, **more):
    return runtime.receive_input(runtime.StepContext(message=message), **more)


@pytest.mark.parametrize(
    "message, payload",
    [
        ({"body": {"a": 1}}, {"a": 1}),
        ({"body": '{"a": 1}'}, {"a": 1}),
        ({"envelope": {}, "headers": {}, "x": 2}, {"x": 2}),
        ({"body": {"outputs": {"a": 1}, "input": {"outputs": {"old": 1}}}}, {"a": 1}),
        ({"body": {"messages": [{"outputs": {"a": 1}}]}}, {"a": 1}),
        ({"body": {"input": {"outputs": {"old": 1}}}}, {"input": {"outputs": {"old": 1}}}),
    ],
)
def test_what_was_sent_is_found_wherever_it_was_wrapped(message, payload):
    assert given(message).payload == payload


def test_input_knows_the_message_and_the_step_it_came_with():
    message = {
        "envelope": {"message_id": "m", "correlation_id": "c"},
        "body": {
            "outputs": {"a": 1},
            "artifacts": [{"kind": "k", "path": "p"}, 3],
            "_mn_step": {"step_input": {"b": 2}},
        },
    }
    found = given(message)
    assert found.payload == {"a": 1, "step_input": {"b": 2}}
    assert (found.message_id, found.correlation_id) == ("m", "c")
    assert found.artifacts == ({"kind": "k", "path": "p"},)
    assert runtime.find_artifact_reference(found, "k") == {"kind": "k", "path": "p"}
    assert runtime.find_artifact_reference(found, "other") is None
    assert given({"body": {"kwargs": {"z": 1}}}, required_keys=("z",)).payload == {"z": 1}


def test_staged_outputs_are_read_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("MN_RUN_DIR", str(tmp_path))
    (tmp_path / "big.json").write_text('{"big": 1}')
    digest = hashlib.sha256(b'{"big": 1}').hexdigest()
    staged = {"schema_version": "mn.staged_artifact/v1", "path": "big.json", "sha256": digest}
    assert given({"body": {"outputs": staged}}).payload == {"big": 1}
    with pytest.raises(ValueError, match="not what was staged"):
        given({"body": {"outputs": staged | {"sha256": "0" * 64}}})


def test_a_result_says_nothing_about_routes():
    assert runtime.send_output({"a": 1}, status=" partial ").status == "partial"
    with pytest.raises(ValueError, match="decides about message_type, to"):
        runtime.send_output({"to": "x", "message_type": "y"})
    with pytest.raises(TypeError, match="must be a mapping"):
        runtime.send_output([1])
    with pytest.raises(ValueError, match="must not be empty"):
        runtime.send_output({}, status="")
    with pytest.raises(TypeError, match="artifacts must be mappings"):
        runtime.send_output({}, artifacts=["x"])


def test_references_to_files():
    assert runtime.artifact_reference("k", "p", size=1) == {"kind": "k", "path": "p", "size": 1}
    for kind, path, more in (("", "p", {}), ("k", "", {}), ("k", "p", {"to": "x"})):
        with pytest.raises(ValueError, match=r"an artifact has|the graph decides"):
            runtime.artifact_reference(kind, path, **more)


def test_payloads_are_found_by_key():
    message = {"body": {"data": [{"x": '{"wanted": 1}'}], "typed": {"y": 2}}}
    assert runtime.find_message_payload(message, required_keys={"wanted"}) == {"wanted": 1}
    assert runtime.find_message_payload(message, payload_key="typed") == {"y": 2}
    assert runtime.find_message_payload(message, required_keys={"none"}) == {}


def test_any_result_becomes_an_object():
    @dataclass
    class Level:
        outputs: dict

    context = runtime.StepContext(step_id="s", run_id="r")
    facts = {"workflow_step_id": "s", "run_id": "r", "runtime_step_mode": "manifest_handler"}
    assert runtime.normalize_result(None, context) == {"status": "completed", **facts}
    assert runtime.normalize_result(Level({"a": 1}), context)["outputs"] == {"a": 1}
    assert runtime.normalize_result([1], context)["outputs"] == [1]
    assert runtime.normalize_result({"status": "partial"}, context)["status"] == "partial"


def test_lines_are_sorted_by_whom_they_are_for():
    answers, rest = io.StringIO(), io.StringIO()
    stream = runtime.Sorted(answers, rest)
    assert stream.writable()
    print("one\n__MN_", end="", file=stream)
    print("X__ {}\ntwo", end="", file=stream)
    stream.flush()
    assert (answers.getvalue(), rest.getvalue()) == ("__MN_X__ {}\n", "one\ntwo")
