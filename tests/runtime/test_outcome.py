"""Results that are too large for a record."""

import json

import pytest

from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus
from mnedge.runtime.outcome import ResultGoneError, output_of, with_result, with_result_if_kept


def record(folder, status=JobStatus.COMPLETED, result=None):
    return JobRecord(
        job_id="demo-1-a",
        graph_id="g",
        job_name="n",
        blueprint_id="demo",
        status=status,
        submitted_at=1.0,
        updated_at=2.0,
        run_folder=str(folder),
        result=result,
    )


def test_a_large_result_is_read_from_the_run_folder(tmp_path):
    result = {"agent_id": "sink", "output": {"text": "x" * 100_000}}
    (tmp_path / "result.json").write_text(json.dumps({"result": result}))
    assert output_of(with_result(record(tmp_path))) == result["output"]


def test_a_result_in_the_record_is_asked_for_nowhere_else(tmp_path):
    whole = record(tmp_path / "gone", result={"a": 1})
    assert with_result(whole) is whole


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.RUNNING])
def test_what_has_not_completed_has_no_result_to_look_for(tmp_path, status):
    waiting = record(tmp_path / "gone", status)
    assert with_result(waiting) is waiting


@pytest.mark.parametrize("content", [None, "half of {", "[1]"])
def test_a_result_that_is_gone_is_said_to_be(tmp_path, content):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(ResultGoneError) as caught:
        with_result(record(tmp_path))
    assert str(tmp_path / "result.json") in caught.value.message
    assert with_result_if_kept(record(tmp_path)).result is None
