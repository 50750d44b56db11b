"""Verbs about steps, each as a process of its own, their effects looked at with others."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.box import Box, until

pytestmark = pytest.mark.live


@pytest.fixture
def box(tmp_path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.close()


@pytest.mark.drives("mnedge job steps")
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


@pytest.mark.drives("mnedge job retry")
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


def losing(box, gate) -> Path:
    """Make a bundle that loses a message, and goes on until the gate is there."""
    folder = box.bundle(f"while [ ! -e {gate} ]; do sleep 0.05; done", "losing")
    manifest = json.loads((folder / "manifest.json").read_text())
    lost = {"emit_messages": [{"type": "note", "to": "nobody", "body": {"n": 1}}]}
    loser = {
        "runner_module": "MirrorNeuron.Runner.HostLocal",
        "command": ["echo", json.dumps(lost)],
        "output_message_type": None,
    }
    manifest["nodes"].append({"node_id": "loser", "agent_type": "executor", "config": loser})
    manifest["entrypoints"].append("loser")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_dead_letters_are_listed_shown_and_forgotten(box, tmp_path):
    gate = tmp_path / "gate"
    run = box.start("blueprint", "run", "--folder", str(losing(box, gate)), "--quiet")
    until(lambda: box.runs() and box.json("job", "dead-letters", "list"))
    (letter,) = box.json("job", "dead-letters", "list")
    assert letter["message"]["body"] == {"n": 1}
    assert "not part of the job" in box.call("job", "dead-letters", "list").stdout
    beginning = letter["message_id"][:8]
    assert box.json("job", "dead-letters", "show", "last", beginning) == letter
    assert "1 message could not be delivered" in box.call("job", "show").stdout
    told = box.call("job", "dead-letters", "redrive", "last", "--all", code=1)
    assert "cannot be delivered" in told.stderr
    told = box.call("job", "dead-letters", "discard", "last", beginning)
    assert told.stdout.startswith("✓ Discarded: 1 dead letter")
    assert box.json("job", "dead-letters", "list") == []
    gate.touch()
    assert run.wait(60) == 0
    types = [one["type"] for one in box.json("job", "events")]
    assert {"dead_letter", "dead_letter_redrive_failed", "dead_letter_discarded"} <= set(types)
