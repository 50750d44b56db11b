"""`mnedge run`: run folders, and the verbs of jobs under another name."""

import json

import click

from mnedge.cli import job
from mnedge.cli.run import run


def make(home, run_id, **fields):
    folder = home / "runs" / run_id
    folder.mkdir(parents=True)
    record = {"run_id": run_id, "blueprint_id": "demo", "status": "completed"} | fields
    (folder / "run.json").write_text(json.dumps(record))


def test_where_there_are_none_it_says_so(mnedge):
    assert mnedge("run", "list").out.startswith("no runs in ")
    assert mnedge("run", "list", "--json").value == []
    assert "there are no runs" in mnedge("run", "show", code=2).err


def test_runs_without_a_job_can_be_looked_at(mnedge, home):
    make(home, "one", updated_at="2026-01-01T00:00:01.000Z")
    make(home, "two", updated_at="2026-01-01T00:00:02.000Z", blueprint_id="other")
    assert [line.split()[0] for line in mnedge("run", "list").out.splitlines()] == [
        "run", "two", "one",
    ]  # fmt: skip
    only = mnedge("run", "list", "--blueprint", "demo", "-o", "ndjson").out
    assert json.loads(only)["run_id"] == "one"
    assert len(mnedge("run", "list", "-n", "1", "--json").value) == 1
    assert mnedge("run", "show", "o").out.startswith("one  completed")
    document = mnedge("run", "show", "last", "--json").value
    assert document["run"]["run_id"] == "two"
    assert [file["path"] for file in document["files"]] == ["run.json"]


def test_verbs_of_jobs_work_under_a_runs_name():
    assert isinstance(run, click.Group)
    assert run.commands["cancel"] is job.cancel
    assert {"status", "events", "logs", "result", "pause", "resume"} <= set(run.commands)
