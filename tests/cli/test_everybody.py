"""All jobs at once."""

import io
import json
from types import SimpleNamespace

import trio

from mnedge.cli.everybody import NEW_JOBS_S, Following
from mnedge.cli.screen import Screen
from mnedge.cli.story import Wanted
from mnedge.cli.verbs import Asked
from mnedge.model.states import JobStatus


class Busy:
    """A node where a job begins and ends between the first look and the second."""

    def __init__(self):
        self.status = {"old": JobStatus.COMPLETED, "open": JobStatus.RUNNING}

    async def jobs(self, statuses, limit):
        found = [
            SimpleNamespace(job_id=name, status=status)
            for name, status in self.status.items()
            if status in statuses
        ]
        self.status["quick"] = JobStatus.COMPLETED
        return found

    async def events(self, record):
        return Spoken(record.job_id)


class Spoken:
    def __init__(self, name):
        self.name = name

    async def look(self):
        return [{"type": f"{self.name}_began"}]

    async def follow(self, take):
        take([{"type": f"{self.name}_went_on"}])


async def test_of_later_jobs_all_is_told_and_of_those_that_run_what_comes(autojump_clock):
    told = io.StringIO()
    screen = Screen(Asked(output="ndjson"), told)
    following = Following(screen, Busy(), "events", Wanted(follow=True), lambda record: [])
    with trio.move_on_after(NEW_JOBS_S * 3):
        await following.run()
    types = [json.loads(line)["type"] for line in told.getvalue().splitlines()]
    assert types == ["open_went_on", "quick_began", "quick_went_on"]


def test_what_happened_in_all_jobs_stands_in_the_order_of_time(mnedge):
    assert "nothing yet" in mnedge("events").out
    for name in ("one", "two"):
        mnedge("blueprint", "run", "message_routing_trace", "-q", "--run-id", name)
    told = mnedge("events", "--type", "job_completed", "--json").value
    assert [one["job_id"] for one in told] == ["one", "two"]
    assert len(mnedge("events", "-n", "1").out.splitlines()) == 1
    logs = mnedge("logs", "--json").value
    assert {one["job_id"] for one in logs} == {"one", "two"}
    assert [one["ts"] for one in logs] == sorted(one["ts"] for one in logs)
