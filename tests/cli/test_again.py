"""`job retry`, as people are told of it."""

import io

from mnedge.cli.again import tell
from mnedge.cli.screen import Screen
from mnedge.cli.verbs import Asked
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus


def told(done):
    record = JobRecord(
        job_id="new", graph_id="g", job_name="n", blueprint_id="b", status=JobStatus.PENDING,
        submitted_at=1.0, updated_at=1.0,
    )  # fmt: skip
    stream = io.StringIO()
    tell(Screen(Asked(), stream), record, "old", done)
    return stream.getvalue().splitlines()


def test_what_need_not_be_done_again_is_told():
    assert told(["fetch", "clean"]) == [
        "✓ Job submitted again",
        "  job      new",
        "  retries  old",
        "  kept     2 steps: fetch, clean",
    ]
    assert told(list("abcdefg"))[-1] == "  kept     7 steps: a, b, c, d, e and 2 more"
    assert told([])[-1] == "  kept     nothing"


def test_a_job_that_does_not_exist_is_not_retried(mnedge):
    assert "no job begins with 'x'" in mnedge("job", "retry", "x", code=2).err


def test_the_new_run_must_have_a_name_that_can_name_a_folder(mnedge):
    assert "cannot name a run folder" in mnedge("job", "retry", "x", "--run-id", "..", code=2).err
