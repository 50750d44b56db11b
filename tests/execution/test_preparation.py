import gzip
import json

import msgspec
import pytest

from mnedge.config.read import read_config
from mnedge.execution import preparation
from mnedge.execution.beacons import beacon_settings
from mnedge.execution.environment import VARIABLE_LIMIT_BYTES
from mnedge.execution.order import AttemptOrder, job_context
from mnedge.execution.preparation import Place
from mnedge.execution.refusal import RefusedError
from mnedge.model.commands import RunAttempt
from mnedge.model.manifest import Agent, JobSpec
from mnedge.model.message import normalise, wire
from mnedge.model.states import AgentKind
from mnedge.model.tracing import launch_context, parsed

CONFIG = read_config({"MN_HOME": "/h", "SOME_TOKEN": "t0ken-value"})
PLACE = Place("/w", "/w/d")


def order_for(
    config=None,
    *,
    workflow=None,
    job_config=None,
    scenario=None,
    body=None,
    traced=None,
    **envelope,
):
    agent = Agent(agent_id="a", kind=AgentKind.EXECUTOR, template="map", config=config or {})
    spec = JobSpec(
        blueprint_id="bp", graph_id="g", job_name="g", agents=[agent], edges=[], entrypoints=[],
        seeds={}, config=job_config or {"c": 1}, scenario=scenario,
    )  # fmt: skip
    job = job_context(
        spec, "j", run_dir="/r/j", runs_root="/r", clock=lambda: 0.0, bundle_root="/b",
        **(traced or {}),
    )  # fmt: skip
    message = normalise({"envelope": {"type": "go", **envelope}, "body": body}, at=0.0, seed="s")
    command = RunAttempt(
        attempt_id="a:m", launch=3, agent_id="a", message=message, invocation=1,
        idempotency_key="key", workflow=workflow or {},
    )  # fmt: skip
    return AttemptOrder(command=command, job=job), agent


def environment(order, agent, python=None):
    settings = beacon_settings(agent.config)
    identity = preparation.identity_of(order, agent, 1)
    return preparation.environment(
        order, agent, PLACE, CONFIG, {"PATH": "/bin"}, settings, identity, python or {}
    )


def test_a_worker_finds_every_variable_of_the_contract_under_both_prefixes():
    found = environment(*order_for(content_type="text/json", content_encoding="gzip"))
    expected = {
        "INPUT_FILE": "/w/mirror_neuron_input.json",
        "CONTEXT_FILE": "/w/mirror_neuron_context.json",
        "MESSAGE_FILE": "/w/mirror_neuron_message.json",
        "BODY_FILE": "/w/mirror_neuron_body.bin",
        "BODY_CONTENT_TYPE": "text/json",
        "BODY_CONTENT_ENCODING": "gzip",
        "AGENT_TYPE": "executor",
        "AGENT_TEMPLATE": "map",
        "JOB_ID": "j",
        "AGENT_ID": "a",
        "WORKDIR": "/w/d",
        "RUN_ID": "j",
        "RUN_DIR": "/r/j",
        "RUNS_ROOT": "/r",
        "BLUEPRINT_ID": "bp",
        "BLUEPRINT_BUNDLE_DIR": "/b",
        "HOME": "/h",
        "ATTEMPT_ID": "a:m",
        "IDEMPOTENCY_KEY": "key",
        "WORKFLOW_IDEMPOTENCY_KEY": "key",
    }
    for name, value in expected.items():
        assert found[f"MN_{name}"] == found[f"MIRROR_NEURON_{name}"] == value
    assert found["MN_BLUEPRINT_CONFIG_JSON"] == '{"c":1}'
    assert found["MN_ARTIFACTS_JSON"] == "[]"
    assert "MN_BLUEPRINT_SCENARIO_JSON" not in found
    assert not any(name.startswith("MN_AGENT_BEACON") for name in found)
    assert "t0ken-value" not in found.values()


def test_identity_outranks_what_the_manifest_says_the_rest_does_not():
    workflow = {"run_id": "r", "step_id": "worker[3]", "attempt": 2, "template_id": "t"}
    declared = {
        "MN_JOB_ID": "x",
        "MN_WORKFLOW_STEP_ID": "x",
        "MN_WORKFLOW_TEMPLATE_ID": "mine",
        "MN_BLUEPRINT_ID": "mine",
        "MN_AGENT_TEMPLATE": "mine",
    }
    found = environment(*order_for({"environment": declared}, workflow=workflow))
    assert (found["MN_JOB_ID"], found["MN_WORKFLOW_STEP_ID"]) == ("j", "worker[3]")
    assert found["MN_WORKFLOW_ATTEMPT"] == "2"
    assert found["MN_WORKFLOW_TEMPLATE_ID"] == "mine"
    assert found["MN_BLUEPRINT_ID"] == found["MN_AGENT_TEMPLATE"] == "mine"


def test_a_worker_is_told_its_place_in_the_trace_and_nothing_hides_it():
    own = environment(*order_for({"environment": {"TRACEPARENT": "x", "TRACESTATE": "x"}}))
    assert own["TRACEPARENT"] == str(launch_context("j", "a:m", 3))
    assert "TRACESTATE" not in own
    parent = f"00-{'a' * 32}-{'b' * 16}-00"
    joined = environment(*order_for(traced={"trace_parent": parent, "trace_state": "v=1"}))
    found = parsed(joined["TRACEPARENT"])
    assert (found.trace_id, found.flags) == ("a" * 32, 0)
    assert found.span_id != "b" * 16
    assert joined["TRACESTATE"] == "v=1"


def test_moments_are_dates_and_the_beacons_name_step_and_attempt():
    workflow = {"step_id": "s", "attempt": 2, "deadline_at": 10.5, "heartbeat_deadline_at": 3}
    order, agent = order_for({"beacon_enabled": True}, workflow=workflow)
    found = environment(order, agent)
    assert found["MN_WORKFLOW_DEADLINE_AT"] == "1970-01-01T00:00:10.500Z"
    assert found["MIRROR_NEURON_WORKFLOW_HEARTBEAT_DEADLINE_AT"] == "1970-01-01T00:00:03.000Z"
    assert (found["MN_AGENT_BEACON_STEP"], found["MN_AGENT_BEACON_ATTEMPT"]) == ("s", "2")


def test_without_a_ledger_the_manifest_names_the_step():
    order, agent = order_for({"environment": {"MN_WORKFLOW_STEP_ID": "declared"}})
    assert environment(order, agent)["MN_WORKFLOW_STEP_ID"] == "declared"
    assert preparation.identity_of(order, agent, 4).step == "declared"
    assert preparation.identity_of(*order_for(), 4).step == "a"


def test_passing_a_secret_is_the_manifests_choice():
    assert environment(*order_for({"pass_env": ["SOME_TOKEN"]}))["SOME_TOKEN"] == "t0ken-value"


def test_a_python_environment_comes_last():
    assert environment(*order_for(), python={"PATH": "/v/bin:/bin"})["PATH"] == "/v/bin:/bin"


def test_a_config_that_no_variable_can_hold_is_a_file():
    order, agent = order_for(job_config={"c": "x" * VARIABLE_LIMIT_BYTES})
    found = environment(order, agent)
    assert preparation.config_is_large(order.job)
    assert "MN_BLUEPRINT_CONFIG_JSON" not in found
    assert found["MN_BLUEPRINT_CONFIG_PATH"] == "/w/mirror_neuron_config.json"
    assert "MN_BLUEPRINT_CONFIG_PATH" not in preparation.submission(order.job, CONFIG, None)


def test_a_scenario_is_told():
    assert environment(*order_for(scenario={"s": 1}))["MN_BLUEPRINT_SCENARIO_JSON"] == '{"s":1}'


def test_documents_hold_the_message_in_every_form():
    order, agent = order_for(
        {"x": 1},
        workflow={"run_id": "r", "deadline_at": 2.25, "region_id": None},
        body=[{"n": 1}, {"n": 2}],
        content_type="application/x-ndjson",
        content_encoding="gzip",
    )
    workflow = preparation.workflow_of(order.command)
    message = wire(order.command.message, "j")
    found = preparation.documents(order, agent, message, {"s": 1}, workflow, 1.5)
    assert json.loads(found.input) == [{"n": 1}, {"n": 2}]
    assert found.input.startswith(b"[\n  {\n")
    message = json.loads(found.message)
    assert message["envelope"]["type"] == "go"
    assert message["envelope"]["job_id"] == "j"
    assert gzip.decompress(found.body) == b'{"n":1}\n{"n":2}\n'
    assert json.loads(found.context) == {
        "job_id": "j",
        "agent_id": "a",
        "agent_type": "executor",
        "template_type": "map",
        "agent_state": {"s": 1},
        "workflow": {"run_id": "r", "deadline_at": "1970-01-01T00:00:02.250Z"},
        "attempt_id": "a:m",
        "launch": 3,
        "idempotency_key": "key",
        "timestamp": "1970-01-01T00:00:01.500Z",
    }
    assert json.loads(found.body_meta) == {
        "content_type": "application/x-ndjson",
        "content_encoding": "gzip",
    }


def test_a_command_gets_its_paths():
    order, agent = order_for({"command": ["run", "{input_file}", "{{body_file}}", "{agent_id}"]})
    single = preparation.command(order, agent, PLACE, double=False, max_bytes=1000)
    assert single == ("run", "/w/mirror_neuron_input.json", "{/w/mirror_neuron_body.bin}", "a")
    double = preparation.command(order, agent, PLACE, double=True, max_bytes=1000)
    assert double[2] == "/w/mirror_neuron_body.bin"
    with pytest.raises(RefusedError):
        preparation.command(order, agent, PLACE, double=True, max_bytes=10)


def test_large_documents_stay_in_one_line():
    order, agent = order_for(body="x" * 300_000)
    found = preparation.documents(order, agent, wire(order.command.message, "j"), None, {}, 0.0)
    assert found.input == msgspec.json.encode("x" * 300_000)
    assert b"\n" not in found.message
    assert json.loads(found.context)["agent_state"] == {}
