"""The picture of a node."""

import pytest

from mnedge.cli.top_frame import Sight, lines, rates
from mnedge.model.states import JobStatus
from tests.cli.test_look import job

POOLS = {"default": {"capacity": 4, "in_use": 2, "queued": 3}}
TOTALS = {"memory_available_gb": 1, "memory_total_gb": 8, "disk_available_gb": 50}


def sight(jobs, at=1010.0, **more):
    fields = {
        "health": {"status": "ok", "node": "edge", "problems": []},
        "resources": {"pools": POOLS, "totals": TOTALS},
    }
    return Sight(at=at, jobs=jobs, **(fields | more))


def plain(*args, **more):
    return [line.plain for line in lines(*args, **({"width": 100, "height": 30} | more))]


def test_a_node_shows_pools_jobs_and_who_is_waited_for():
    asked = [("demo-1-a", [{"prompt": "Ship it?"}])]
    told = plain(sight([job(started_at=1000.0)], requests=asked, done={"demo-1-a": (1, 4)}))
    assert told[0].startswith("edge  ok  1 job open")
    assert any("default" in line and "2 of 4, 3 waiting" in line for line in told)
    assert any("demo-1-a" in line and "1/4" in line and "10 s" in line for line in told)
    assert told[-1] == "! demo-1-a: Ship it?"


def test_rates_come_from_two_looks():
    before, now = sight([job(events=10)], at=1000.0), sight([job(events=30)], at=1010.0)
    assert rates(before, now) == {"demo-1-a": 2.0}
    assert rates(None, now) == {}
    assert "2 events/s" in plain(now, before)[0]


@pytest.mark.parametrize("width", [40, 80, 140])
def test_no_line_is_wider_than_the_terminal(width):
    named = job(job_id="a_very_long_blueprint_name_v1-1795656294626-b537dbf34a8d")
    told = plain(sight([named]), width=width)
    assert all(len(line) <= width for line in told)
    assert any("a_ver" in line and "34a8d" in line for line in told)


def test_the_chosen_job_stays_in_sight():
    jobs = [job(JobStatus.COMPLETED, job_id=f"job-{n:02}") for n in range(40)]
    told = plain(sight(jobs), height=15, chosen=35)
    assert len(told) <= 15
    assert any(line.startswith("▸") and "job-35" in line for line in told)
    assert any("more jobs" in line for line in told)


def test_a_program_gets_the_same():
    told = sight([job()], done={"demo-1-a": (1, 4)}).document()
    assert (told["jobs"][0]["steps_done"], told["jobs"][0]["steps"]) == (1, 4)
    assert told["pools"] == POOLS
