import json

import msgspec

from mnedge.execution.leases import Lease
from mnedge.execution.results import (
    lease_map,
    result_map,
    secrets_of,
    truncations,
    worker_secrets_in,
)
from mnedge.ports import Launch
from tests.execution.node import ScriptedRunner, ended

LAUNCH = Launch(
    token="j/a/1", name="host-local-j-a", command=("x",), workspace="/w", workdir="/w/d",
    environment={},
)  # fmt: skip
RUNNER = ScriptedRunner(ended())


def test_a_result_has_the_members_of_the_contract():
    result = result_map(ended(b"out\n", stderr=b"err\n"), LAUNCH, RUNNER, "node-1", ())
    usage = result.pop("usage")
    assert result == {
        "sandbox_name": "host-local-j-a",
        "remote_dir": "/w/d",
        "exit_code": 0,
        "runner_exit_code": 0,
        "stdout": "out\n",
        "stderr": "err\n",
        "logs": "err\n",
        "runner": "host_local",
        "node_name": "node-1",
    }
    assert "elapsed_s" in usage


def test_a_run_without_exit_code_is_an_error_with_what_it_said():
    finished = ended(b"so far", error="host local command timed out", timeout_ms=300)
    assert result_map(finished, LAUNCH, RUNNER, "n", ()) == {
        "error": "host local command timed out",
        "stdout": "so far",
        "timeout_ms": 300,
    }


def test_output_that_is_no_text_is_made_text():
    assert result_map(ended(b"\xff\n"), LAUNCH, RUNNER, "n", ())["stdout"] == "\ufffd\n"


def cut(said, /, *, is_read=True, **dropped):
    finished = msgspec.structs.replace(ended(said, stderr=b"e" * 12), dropped_bytes=dropped)
    launch = msgspec.structs.replace(LAUNCH, max_output_bytes=8)
    return truncations(finished, launch, stdout_is_read=is_read)


def test_a_stream_that_was_cut_is_told_with_what_is_missing():
    assert cut(b"short") == []
    [told] = cut(b"short", stderr=4)
    assert told == {
        "message": "stderr is cut at 8 bytes, 4 more are dropped;"
        " raise max_output_bytes in the agent's config",
        "stream": "stderr",
        "kept_bytes": 8,
        "dropped_bytes": 4,
        "cap_bytes": 8,
        "hint": "raise max_output_bytes in the agent's config",
    }
    assert [one["stream"] for one in cut(b"long text", stdout=3, stderr=4)] == ["stdout", "stderr"]


def test_an_instruction_that_was_cut_is_told_as_one():
    [told] = cut(b' {"next_state": 1', stdout=3)
    assert told["instruction_lost"]
    assert "it began as a JSON instruction and is read as text" in told["message"]
    assert "instruction_lost" not in cut(b"plain text", stdout=3)[0]
    assert "instruction_lost" not in cut(b'{"next_state": 1', stdout=3, is_read=False)[0]


def test_secrets_are_hidden_in_every_text_also_as_json_has_them():
    secrets = secrets_of({"API_TOKEN": 'pa"ss\\word', "SHORT_KEY": "12345", "NAME": "visible"})
    said = json.dumps({"token": 'pa"ss\\word'}).encode()
    result = result_map(
        ended(said, stderr=b'pa"ss\\word visible 12345'), LAUNCH, RUNNER, "n", secrets
    )
    assert result["stdout"] == '{"token": "[REDACTED]"}'
    assert result["stderr"] == "[REDACTED] visible 12345"
    umlaut = secrets_of({"A_KEY": "gr\u00fcn-und-geheim"})
    said = b'{"x": "gr\\u00fcn-und-geheim"} gr\xc3\xbcn-und-geheim'
    result = result_map(ended(said), LAUNCH, RUNNER, "n", umlaut)
    assert result["stdout"] == '{"x": "[REDACTED]"} [REDACTED]'
    error = ended(error='failed: pa"ss\\word')
    assert result_map(error, LAUNCH, RUNNER, "n", secrets)["error"] == "failed: [REDACTED]"


def test_what_the_manifest_sets_or_passes_is_hidden_but_not_what_the_runtime_says():
    config = {"environment": {"DB_PASSWORD": "from-manifest"}, "pass_env": ["A_COOKIE", "GONE_KEY"]}
    environment = {
        "DB_PASSWORD": "from-manifest",
        "A_COOKIE": "passed-on",
        "MN_IDEMPOTENCY_KEY": "of-the-runtime",
    }
    found = worker_secrets_in({"HOST_SECRET": "of-the-host"}, config, environment)
    assert set(found) == {"from-manifest", "passed-on", "of-the-host"}


def test_a_lease_is_shown_as_it_is():
    lease = Lease(
        lease_id="l", pool="p", slots=1, queue_wait_ms=2, requested_at_ms=3, acquired_at_ms=5,
        metadata={"job_id": "j"},
    )  # fmt: skip
    assert lease_map(lease) == {
        "lease_id": "l",
        "pool": "p",
        "slots": 1,
        "queue_wait_ms": 2,
        "requested_at_ms": 3,
        "acquired_at_ms": 5,
        "metadata": {"job_id": "j"},
    }
