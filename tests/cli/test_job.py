"""`mnedge job` on a store with a job that nobody runs."""

import pytest

from mnedge.cli.verbs import awaited
from mnedge.config.read import read_config
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.store import opened_store
from mnedge.runtime.submission import submit_spec
from tests.runtime.rig import pipeline

pytestmark = pytest.mark.live


@pytest.fixture
def waiting(home):
    """Keep a pending job; return its id."""

    async def keep():
        config = read_config({"MN_HOME": str(home)})
        async with opened_store(config) as store:
            await submit_spec(store, config, pipeline(), job_id="job-1", now=wall_clock)
        return "job-1"

    return awaited(keep)


def test_a_fresh_machine_has_no_jobs(mnedge):
    assert mnedge("job", "list").out == "no jobs\n"
    assert mnedge("job", "list", "--json").value == []
    assert mnedge("job", "list", "--status", "failed").out == "no such jobs\n"
    assert mnedge("job", "show", code=2).err


def test_a_waiting_job_is_shown(mnedge, waiting):
    assert mnedge("job", "status", waiting).out == "pending\n"
    assert mnedge("job", "status", "--json").value == {"job_id": "job-1", "status": "pending"}
    assert "pending" in mnedge("job", "list", "--running-only").out
    shown = mnedge("job", "show", waiting).out
    assert "none: mnedge job recover" in shown
    assert "worker" in shown
    assert mnedge("job", "events", waiting).out == ""
    assert mnedge("job", "logs", "-o", "ndjson").out == ""


def test_what_its_status_forbids_is_refused(mnedge, waiting):
    told = mnedge("job", "pause", waiting, code=1)
    assert "job is not running" in told.err
    assert "has no result: it is pending" in mnedge("job", "result", waiting, code=1).err
    assert mnedge("job", "result", "--json", code=1).value["result"] is None


def test_a_request_can_be_left_without_waiting(mnedge, waiting):
    told = mnedge("job", "cancel", waiting, "--reason", "enough")
    assert "Job cancelled" in told.out
    assert mnedge("job", "status", code=1).out == "cancelled\n"


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_no_job_is_steered_that_was_not_named(mnedge, waiting, verb):
    told = mnedge("job", verb, code=2)
    assert "missing argument 'JOB'" in told.err
    assert mnedge("job", "status", waiting).out == "pending\n"


@pytest.mark.parametrize("words", [[], ["job-1", "--all"]])
def test_recovery_needs_jobs_or_all_and_not_both(mnedge, words):
    assert "--all, one of the two" in mnedge("job", "recover", *words, code=2).err


def test_a_wrong_status_is_answered_with_the_right_ones(mnedge):
    told = mnedge("job", "list", "--status", "done", code=2)
    assert "'completed'" in told.err
