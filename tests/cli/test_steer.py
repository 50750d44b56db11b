"""Requests to a job's owner."""

import io
import json

import pytest

from mnedge.cli import steer
from mnedge.cli.screen import Screen
from mnedge.cli.verbs import Asked
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus, Verb


def told(verb, status, *, acted=True, owned=True, **asked):
    record = JobRecord(
        job_id="j",
        graph_id="g",
        job_name="n",
        blueprint_id="b",
        status=status,
        submitted_at=1.0,
        updated_at=1.0,
    )
    stream = io.StringIO()
    steer.tell(Screen(Asked(**asked), stream), record, verb, acted=acted, owned=owned)
    return stream.getvalue()


@pytest.mark.parametrize(
    "verb,status,said",
    [
        (Verb.PAUSE, JobStatus.PAUSED, "✓ Job paused"),
        (Verb.RESUME, JobStatus.RUNNING, "✓ Job resumed"),
        (Verb.CANCEL, JobStatus.CANCELLED, "✓ Job cancelled"),
        (Verb.PAUSE, JobStatus.COMPLETED, "✓ Job is completed already"),
    ],
)
def test_what_was_done_is_told(verb, status, said):
    lines = told(verb, status).splitlines()
    assert lines[0] == said
    assert lines[1:3] == ["  job     j", f"  status  {status}"]


def test_what_was_only_asked_for_is_told_as_such():
    text = told(Verb.PAUSE, JobStatus.RUNNING, acted=False)
    assert text.startswith("✓ Asked the job to pause")
    text = told(Verb.PAUSE, JobStatus.RUNNING, acted=False, owned=False)
    assert "it acts when it is recovered" in text
    assert "mnedge job recover j" in text


def test_a_program_learns_whether_the_owner_acted():
    document = json.loads(told(Verb.PAUSE, JobStatus.PAUSED, output="json"))
    assert (document["verb"], document["acted"], document["owned"]) == ("pause", True, True)
