"""Error envelopes: the code, the category and the bounds that the product promises."""

import msgspec
import pytest

from mnedge.model.body import BlobRef
from mnedge.model.failure import (
    ENVELOPE_BYTES,
    ITEMS,
    KEYS,
    TEXT_CHARS,
    bounded,
    failure_envelope,
    failure_text,
)


def envelope(error, **more):
    return failure_envelope(error, at=0.0, job_id="j", event_seq=7, **more)


@pytest.mark.parametrize(
    "error, text",
    [
        ("boom", "boom"),
        ("", "Failure"),
        (None, "Failure"),
        ({}, "Failure"),
        ({"error": "no luck", "exit_code": 3}, "no luck"),
        ({"exit_code": 3, "stderr": "x"}, "exit code 3"),
        ({"error": {"message": "inner"}}, "inner"),
        ({"reason": "r", "message": "m"}, "m"),
        ([1, 2], "[1,2]"),
        ({"odd": BlobRef("sha256:1", 1, encoding="text")}, None),
    ],
)
def test_an_error_as_text(error, text):
    assert text is None or failure_text(error) == text
    assert isinstance(failure_text(error), str)


@pytest.mark.parametrize(
    "error, more, code, category, retryable",
    [
        ("boom", {}, "runtime.failure", "runtime", False),
        ("missed heartbeat", {}, "workflow.step.heartbeat_timeout", "timeout", False),
        ("host local command timed out", {}, "workflow.step.timeout", "timeout", False),
        ("retry exhausted", {}, "workflow.step.retry_exhausted", "runtime", False),
        ("no lease", {}, "scheduler.lease_unavailable", "scheduler", True),
        ("boom", {"component": "job_runner"}, "runtime.job_runner.failed", "runtime", False),
        ("boom", {"component": "job_coordinator"}, "runtime.job.failed", "runtime", False),
        ("boom", {"code": "a.b"}, "a.b", "runtime", False),
        ({"code": "given.unavailable"}, {}, "given.unavailable", "runtime", True),
        ("invalid input", {}, "runtime.failure", "validation", False),
    ],
)
def test_the_code_and_what_follows_from_it(error, more, code, category, retryable):
    made = envelope(error, **more)
    assert made["code"] == code
    assert made["details"]["category"] == category
    assert made["details"]["retryable"] is retryable
    assert made["remediation"]


def test_the_envelope_has_every_member():
    made = envelope(
        {"error": "no luck", "attempts": 2}, component="agent", agent_id="a", step_id=None
    )
    assert made["schema_version"] == "mn.error.v1"
    assert made["desc"] == "No luck"
    assert made["occurred_at"] == "1970-01-01T00:00:00.000Z"
    assert made["event_id"].startswith("evt_")
    assert made["trace_id"].startswith("trc_")
    assert made["span_id"].startswith("spn_")
    assert made["details"]["agent_id"] == "a"
    assert "step_id" not in made["details"]
    assert [link["rel"] for link in made["links"]] == ["errors", "events", "logs"]
    assert envelope("x") == envelope("x")


def test_an_envelope_is_kept_and_bounded_again():
    once = envelope("boom", code="a.b", agent_id="w")
    again = failure_envelope(once, at=9.0, job_id="other", event_seq=1)
    assert again["code"] == "a.b"
    assert again["details"]["message"] == "boom"
    assert again["details"]["agent_id"] == "w"
    assert again["event_id"] == once["event_id"]
    assert again["occurred_at"] == once["occurred_at"]


def test_long_things_are_cut_and_say_so():
    cut = bounded("x" * (TEXT_CHARS + 1))
    assert cut["truncated"] is True
    assert cut["chars"] == TEXT_CHARS + 1
    assert len(cut["preview"]) == TEXT_CHARS - 128
    assert len(bounded({str(n): n for n in range(KEYS + 9)})) == KEYS
    assert bounded(list(range(ITEMS + 3)))[-1] == {"truncated": True, "items": 3}


def test_no_envelope_is_larger_than_its_bound():
    error = {"error": "boom", **{f"agent_{n}": "y" * 2000 for n in range(40)}}
    made = envelope(error, **{f"more_{n}": "y" * 2000 for n in range(40)})
    assert len(msgspec.json.encode(made)) <= ENVELOPE_BYTES
    assert made["details"] == {"message": "boom", "truncated": True}
    assert len(envelope("é" * 5000)["desc"]) == 160


@pytest.mark.parametrize("code", ["device.unavailable", "device_lost", "device.ask_invalid"])
def test_who_could_not_be_lent_a_device_is_pointed_to_what_there_is(code):
    error = {"error": "no such device can be lent: 1 gpu: this machine has none", "code": code}
    envelope = failure_envelope(error, at=0.0, job_id="j", event_seq=1)
    assert envelope["details"]["category"] == "device"
    assert "mnedge resource list" in envelope["remediation"]
