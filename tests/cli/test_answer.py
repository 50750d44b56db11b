"""What people are told of requests and answers."""

import io
import json

from mnedge.cli.answer import request_lines, tell
from mnedge.cli.screen import Screen
from mnedge.cli.verbs import Asked
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus

WAITING = {
    "request_id": "gate-1",
    "prompt": "Ship it?",
    "allowed_decisions": ["approve", "reject"],
    "timeout_seconds": 90,
    "default_action": "reject",
    "asked_at": "1970-01-01T00:01:40.000Z",
}


def told(decision="approve", *, acted=True, owned=True, **asked):
    record = JobRecord(
        job_id="j", graph_id="g", job_name="n", blueprint_id="b", status=JobStatus.RUNNING,
        submitted_at=1.0, updated_at=1.0,
    )  # fmt: skip
    details = {"request_id": "gate-1", "decision": decision}
    stream = io.StringIO()
    tell(Screen(Asked(**asked), stream), record, details, WAITING, acted=acted, owned=owned)
    return stream.getvalue()


def test_an_answer_that_counts_is_told():
    assert told().splitlines() == [
        "✓ Approved",
        "  job       j",
        "  request   gate-1",
        "  asked     Ship it?",
        "  decision  approve",
        "  next      mnedge job events j --follow",
    ]
    assert told("reject").startswith("✓ Rejected")
    assert told("ship").startswith("✓ Answered ship")


def test_an_answer_that_waits_for_an_owner_says_so():
    text = told(acted=False, owned=False)
    assert text.startswith("✓ Answer left")
    assert "it counts" not in text
    assert "the answer counts when it is recovered" in text
    assert "mnedge job recover j" in text
    assert "recover" not in told(acted=False, owned=True)


def test_a_program_gets_request_and_answer():
    document = json.loads(told(output="json"))
    assert document == {
        "job_id": "j",
        "request": WAITING,
        "answer": {"request_id": "gate-1", "decision": "approve"},
        "acted": True,
        "owned": True,
    }


def test_a_request_is_listed_with_its_time_and_the_command():
    assert [line.plain for line in request_lines([WAITING], "j", 130.0, None)] == [
        "! Ship it?",
        "  reject in 1 min 00 s",
        "  mnedge job approve|reject j",
        "  request  gate-1",
    ]
    several = [WAITING, {**WAITING, "request_id": "gate-2"}]
    lines = [line.plain for line in request_lines(several, "j", 130.0, 40)]
    assert "  mnedge job approve|reject j --request gate-2" in lines
