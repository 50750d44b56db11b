"""The end of a job, as a person reads it."""

from pathlib import Path

from mnedge.cli.ending import document, ending, headline, tilde
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus
from mnedge.runtime.outcome import output_of


def record(status=JobStatus.COMPLETED, **more):
    fields = {
        "job_id": "demo-1-a",
        "graph_id": "demo_v1",
        "job_name": "demo",
        "blueprint_id": "demo",
        "submitted_at": 100.0,
        "updated_at": 103.0,
        "started_at": 101.0,
        "ended_at": 103.5,
        "run_folder": "/runs/demo-1-a",
    }
    return JobRecord(status=status, **(fields | more))


def plain(job, **more):
    return [line.plain for line in ending(job, **more)]


def test_a_completed_job_shows_who_ended_it_and_what_came_of_it():
    result = {"agent_id": "reviewer", "output": {"count": 1}}
    assert plain(record(result=result)) == [
        "✓ demo completed in 2.5 s, ended by reviewer",
        "",
        '  {"count": 1}',
        "",
        "  run folder  /runs/demo-1-a",
        "  next        mnedge run show demo-1-a",
    ]


def test_a_long_result_is_cut_and_says_how_to_see_the_rest():
    output = {f"number {n}": "word " * 5 for n in range(100)}
    lines = plain(record(result={"agent_id": "a", "output": output}), lines=5)
    assert "  … 97 more lines: mnedge job result demo-1-a" in lines


def test_a_result_fits_the_terminal():
    output = {"names": [f"w{n:02}" for n in range(90)]}
    job = record(result={"agent_id": "a", "output": output})
    for width in (60, 80):
        assert 50 < max(map(len, plain(job, width=width)[2:-3])) <= width
    assert max(map(len, plain(job)[2:-3])) > 90


def test_a_failed_job_shows_why_and_how_to_mend_it():
    error = {
        "code": "runtime.failure",
        "desc": "Runtime job failed",
        "details": {"message": "exit code 3", "agent_id": "worker"},
        "remediation": "Look at the worker's stderr.",
    }
    lines = plain(record(JobStatus.FAILED, error=error))
    assert lines[0] == "✗ demo failed after 2.5 s"
    assert "  agent   worker" in lines
    assert "  reason  exit code 3" in lines
    assert "  mend    Look at the worker's stderr." in lines
    assert lines[-1] == "  next        mnedge job logs demo-1-a"


def test_the_cause_of_the_last_failure_is_told_in_one_line():
    error = {"details": {"message": "no restart is left", "cause": "TypeError: x\nTypeError: x\n"}}
    lines = plain(record(JobStatus.FAILED, error=error))
    assert lines[1:3] == ["  reason  no restart is left", "  cause   TypeError: x"]


def test_the_last_words_of_a_worker_are_shown():
    lines = plain(record(JobStatus.FAILED), last_words=["no such file", "giving up"])
    assert lines[1:4] == ["", "  │ no such file", "  │ giving up"]


def test_a_failure_without_an_envelope_is_told_from_the_result():
    lines = plain(record(JobStatus.FAILED, result={"agent_id": "w", "error": {"exit_code": 3}}))
    assert '  reason  {"exit_code":3}' in lines


def test_a_faulted_job_tells_the_last_line_of_the_fault_and_what_can_be_done():
    fault = {"fact_seq": 12, "error": "Traceback ...\nValueError: bad"}
    lines = plain(record(JobStatus.FAULTED, fault=fault))
    assert any(line.startswith("  mend   mnedge itself failed") for line in lines)
    assert "  fault  ValueError: bad" in lines


def test_a_cancelled_job_is_no_failure():
    line = headline(record(JobStatus.CANCELLED)).plain
    assert line == "! demo cancelled after 2.5 s"


def test_the_wrapping_of_a_result_is_taken_off():
    assert output_of(record(result={"agent_id": "a", "output": 5})) == 5
    assert output_of(record(result={"reason": "x"})) == {"reason": "x"}


def test_a_home_is_written_short():
    assert tilde("/h/u/.mn/runs/x", Path("/h/u")) == "~/.mn/runs/x"
    assert tilde("/elsewhere", Path("/h/u")) == "/elsewhere"
    assert tilde("") == ""


def test_a_program_gets_the_whole_record():
    job = record(result={"agent_id": "a", "output": 5})
    assert document(job) == {"job": job, "result": 5, "error": None}
