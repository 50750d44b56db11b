"""Run folders, whoever wrote them."""

import json

import pytest

from mnedge.cli.folders import at, files_in, found, lines, run_lines
from mnedge.store.runs.readers import RunNotFoundError


def make(root, run_id, **run):
    folder = root / run_id
    folder.mkdir(parents=True)
    fields = {"run_id": run_id, "blueprint_id": "demo", "status": "completed"} | run
    (folder / "run.json").write_text(json.dumps(fields))
    return folder


def test_runs_are_found_by_id_beginning_or_last(tmp_path):
    make(tmp_path, "trace-1", updated_at="2026-01-01T00:00:01.000Z")
    make(tmp_path, "trace-2", updated_at="2026-01-01T00:00:02.000Z")
    make(tmp_path, "other", updated_at="2026-01-01T00:00:00.000Z")
    assert found(tmp_path, "trace-1").name == "trace-1"
    assert found(tmp_path, "oth").name == "other"
    assert found(tmp_path, "last").name == "trace-2"
    with pytest.raises(RunNotFoundError, match="several runs begin with 'trace'"):
        found(tmp_path, "trace")
    with pytest.raises(RunNotFoundError) as refused:
        found(tmp_path, "trcae-2")
    assert "trace-2" in refused.value.hint


def test_where_there_are_no_runs_it_says_so(tmp_path):
    with pytest.raises(RunNotFoundError, match="there are no runs"):
        found(tmp_path / "none", "last")


def test_a_run_is_one_line():
    run = {
        "run_id": "r",
        "status": "failed",
        "started_at": "2026-01-01T00:00:00.000Z",
        "ended_at": "2026-01-01T00:00:02.500Z",
        "reason": "no\nspace",
    }
    _, line = run_lines([run], at(run["started_at"]) + 60, None)
    assert line.plain.split() == ["r", "failed", "1", "min", "ago", "2.5", "s", "no", "space"]


def test_a_run_of_a_stranger_is_one_line_too():
    _, line = run_lines([{"run_id": "r", "status": "unknown", "started_at": "noon"}], 0.0, None)
    assert line.plain.split() == ["r", "unknown"]


def test_a_run_is_shown_with_figures_artifact_and_files(tmp_path):
    folder = make(tmp_path, "r", reason="because")
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "report.md").write_text("x" * 2000)
    (folder / "events.index.json").write_text("{}")
    (folder / "link").symlink_to("/etc/hostname")
    run = json.loads((folder / "run.json").read_text())
    summary = {"event_count": 7, "error_count": 1}
    artifact = {"schema_version": "x", "evidence": {"n": 1}, "type": "report", "next_steps": []}
    run["run_dir"] = str(folder)
    told = [line.plain for line in lines(run, summary, artifact, files_in(folder))]
    assert told[0] == "r  completed"
    assert "  recorded   7 events, 1 error" in told
    assert '  {"type": "report", "evidence": {"n": 1}}' in told
    assert [line.split() for line in told[-3:]] == [
        ["files"],
        ["artifacts/report.md", "2.0", "KiB"],
        ["run.json", str((folder / "run.json").stat().st_size), "B"],
    ]


def test_plumbing_and_links_are_no_files_for_people(tmp_path):
    folder = make(tmp_path, "r")
    (folder / "events.index.json").write_text("{}")
    (folder / "link").symlink_to("/etc/hostname")
    assert [str(path) for path, _ in files_in(folder)] == ["run.json"]
