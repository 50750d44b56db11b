"""Verbs about steps, each as a process of its own, their effects looked at with others."""

from collections.abc import Iterator

import pytest

from tests.live.box import Box

pytestmark = pytest.mark.live


@pytest.fixture
def box(tmp_path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.close()


def test_steps_are_shown_while_and_after_they_run(box):
    box.call("blueprint", "run", "meter_readout", "--quiet")
    lines = box.call("job", "steps").stdout.splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["wake_meter", "read_meter", "book_reading"]
    assert "3 of 4" in lines[2]
    steps = box.json("job", "steps")
    assert [step["status"] for step in steps] == ["completed"] * 3
    shown = box.json("job", "show")
    assert shown["workflow_state"]["steps"]["read_meter"] == steps[1]
    assert shown["workflow_state"]["schema_version"] == 3
    assert (shown["human_requests"], shown["dead_letters"]) == ([], [])
    assert "read_meter" in box.call("job", "show").stdout


def test_a_job_without_steps_has_none(box):
    box.call("blueprint", "run", "message_routing_trace", "--quiet")
    assert "has no steps" in box.call("job", "steps").stdout
    assert box.json("job", "show")["workflow_state"] == {"schema_version": 3, "enabled": False}
    assert box.json("job", "dead-letters", "list") == []
    told = box.call("job", "dead-letters", "discard", "last", "--all", code=2)
    assert "has no dead letters" in told.stderr


def test_a_failed_job_goes_on_from_its_failed_step(box):
    box.call("blueprint", "run", "meter_readout", "--input", "spoiled=9", "--quiet", code=1)
    failed = box.json("job", "show")["job"]["job_id"]
    told = box.call("job", "retry", failed, "--run-id", "again", code=1)
    assert "kept     1 step: wake_meter" in told.stdout
    steps = box.json("job", "steps", "again")
    assert steps[0]["terminal_reason"] == "carried over"
    assert steps[0]["attempts"] == []
    first = steps[1]["attempts"][0]
    before = box.json("job", "steps", failed)[1]["attempts"][-1]
    assert first["idempotency_key"] == before["idempotency_key"]
    assert "checksum" in told.stdout  # it got the telegram's order once more, and failed alike


def test_a_retry_may_be_left_to_a_daemon(box):
    box.call("blueprint", "run", "meter_readout", "--input", "spoiled=9", "--quiet", code=1)
    told = box.json("job", "retry", "last", "--detach", "--run-id", "later")
    assert (told["job"]["job_id"], told["kept"], told["daemon"]) == ("later", ["wake_meter"], None)
    box.call("job", "recover", "later", "--quiet", code=1)
    assert box.json("job", "steps", "later")[1]["status"] == "failed"


def test_only_a_failed_job_is_retried(box):
    box.call("blueprint", "run", "meter_readout", "--quiet")
    assert "only a failed job is retried" in box.call("job", "retry", "last", code=1).stderr
