"""A job that runs elsewhere: records become events, and the picture begins where it stands."""

import io
import json

import pytest
from msgspec.structs import replace

from mnedge.cli.desk import Look
from mnedge.cli.link import DaemonAwayError
from mnedge.cli.screen import Screen
from mnedge.cli.verbs import Asked
from mnedge.cli.watch import event_of, shown_of, watch
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus
from tests.cli.test_look import agent, view

RECORD = JobRecord(
    job_id="j", graph_id="g", job_name="n", blueprint_id="b", status=JobStatus.RUNNING,
    submitted_at=1.0, updated_at=1.0,
)  # fmt: skip


def test_a_record_is_an_event_again():
    event = event_of(
        {
            "seq": 7,
            "ts": "1970-01-01T00:00:02.500Z",
            "type": "workflow_step_started",
            "agent_id": "worker",
            "step_id": "one",
            "payload": {"attempt": 1},
        }
    )
    assert event is not None
    assert (event.seq, event.at, event.agent_id, event.step_id) == (7, 2.5, "worker", "one")
    assert event.payload == {"attempt": 1}


def test_a_line_of_a_worker_is_no_event_of_ours():
    assert event_of({"type": "progress", "payload": {}}) is None
    assert event_of({"seq": True, "type": "x"}) is None


def test_a_job_is_shown_from_its_beginning_or_from_now():
    look = Look(view(RECORD, [agent("worker", processed_messages=3)]), [])
    fresh = shown_of(RECORD, look, from_now=False).progress
    assert (fresh.last_seq, fresh.status, fresh.agents["worker"].finished) == (0, "pending", 0)
    now = shown_of(RECORD, look, from_now=True).progress
    assert (now.last_seq, now.status, now.agents["worker"].finished) == (7, "running", 3)


class Leaving:
    """A desk whose daemon stops right after the last event of the job, for so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    async def look(self):
        return []

    async def follow(self, take):
        pass

    async def events(self, record, after=0):
        return self

    async def find(self, job_id):
        self.looks -= 1
        if self.looks >= 0:
            raise DaemonAwayError("the daemon cannot be reached")
        return replace(RECORD, status=JobStatus.CANCELLED)

    async def with_result(self, record):
        return record


async def test_a_daemon_that_stops_as_the_job_ends_is_waited_for(autojump_clock):
    look = Look(view(RECORD, []), [])
    screen = Screen(Asked(output="json"), io.StringIO())
    code = await watch(screen, Leaving(9), shown_of(RECORD, look, from_now=False),
                       quiet=True, cancels=False)  # fmt: skip
    assert code == 1
    assert json.loads(screen.stream.getvalue())["job"]["status"] == "cancelled"
    with pytest.raises(DaemonAwayError):
        await watch(screen, Leaving(10**6), shown_of(RECORD, look, from_now=False),
                    quiet=True, cancels=False)  # fmt: skip


def test_a_job_that_is_over_is_told_at_once(mnedge):
    mnedge("blueprint", "run", "message_routing_trace", "-q", "--run-id", "mine")
    assert "✓ message_routing_trace completed" in mnedge("job", "watch", "mine").out
    assert mnedge("job", "watch", "mine", "--json").value["job"]["status"] == "completed"
