"""The whole program, from outside: every verb as a process, its effect looked at with another."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.live.box import MNEDGE, ROOT, WITHIN_S, Box, until

pytestmark = pytest.mark.live


@pytest.fixture
def box(tmp_path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.close()


@pytest.fixture
def gate(box) -> Path:
    """A file; workers of `waiting` end when it is there."""
    return box.folder / "gate"


@pytest.fixture
def waiting(box, gate) -> Path:
    """A bundle whose worker says `began`, then waits for the gate."""
    began = box.folder / "began"
    return box.bundle(
        f"echo $$ >> {began}; while [ ! -e {gate} ]; do sleep 0.05; done; echo through"
    )


def began(box) -> list[int]:
    """Return the process ids of workers that were started."""
    file = box.folder / "began"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def lives(pid: int) -> bool:
    """Tell whether the process runs; one that ended may wait long until somebody reaps it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# ---- running ----


@pytest.mark.drives("mnedge blueprint run")
def test_a_bundled_blueprint_runs_by_name(box):
    done = box.call("blueprint", "run", "message_routing_trace")
    lines = done.stdout.splitlines()
    assert lines[0] == "✓ Job submitted successfully"
    assert any(
        line.startswith("✓ message_routing_trace completed in ") and "reviewer" in line
        for line in lines
    )
    assert '"count": 1' in done.stdout
    assert done.stderr == ""
    (folder,) = box.runs()
    assert json.loads((folder / "run.json").read_text())["status"] == "completed"


def test_a_program_gets_one_document_and_nothing_else(box):
    told = box.json("blueprint", "run", "message_routing_trace")
    assert told["job"]["status"] == "completed"
    assert told["result"]["count"] == 1
    assert told["error"] is None


def test_a_program_can_follow_every_event(box):
    done = box.call("blueprint", "run", "message_routing_trace", "-o", "ndjson")
    *events, last = map(json.loads, done.stdout.splitlines())
    seqs = [event["seq"] for event in events if "seq" in event]
    assert seqs == list(range(1, len(seqs) + 1))
    assert {"job_pending", "job_completed"} <= {event["type"] for event in events}
    assert last["job"]["status"] == "completed"
    kept = [json.loads(line) for line in (box.runs()[0] / "events.jsonl").read_text().splitlines()]
    assert events == kept


def test_options_reach_the_config_and_the_input_of_a_run(box):
    (box.folder / "config.json").write_text('{"logging": {"level": "DEBUG"}}')
    box.call(
        "blueprint", "run", "message_routing_trace", "--quiet", "--run-id", "my-run",
        "--input-json", '{"request": "look"}', "--input", "b=[2]", "--set", "budgets.max=7",
        "--config-json", "@config.json",
    )  # fmt: skip
    (folder,) = box.runs()
    assert folder.name == "my-run"
    config = json.loads((folder / "config.json").read_text())
    assert config["inputs"]["payload"] == {"request": "look", "b": [2]}
    assert config["inputs"]["adapter"] == "json"
    assert config["budgets"]["max"] == 7
    assert config["logging"]["level"] == "DEBUG"
    again = box.call("blueprint", "run", "message_routing_trace", "--run-id", "my-run", code=1)
    assert "my-run" in again.stderr


def test_quiet_says_only_how_it_ended(box):
    done = box.call("blueprint", "run", "message_routing_trace", "-q")
    assert done.stdout.strip().splitlines()[0].startswith("✓ message_routing_trace completed")


def test_verbose_tells_every_event(box):
    done = box.call("blueprint", "run", "message_routing_trace", "-v")
    assert "agent_message_received reviewer" in done.stdout


@pytest.mark.drives("mnedge job status")
@pytest.mark.drives("mnedge job logs")
def test_a_failed_run_says_why_and_exits_with_one(box):
    folder = box.bundle("echo half; echo the disk is on fire >&2; exit 3")
    done = box.call("blueprint", "run", "--folder", str(folder), code=1)
    assert "✗ mine failed after" in done.stdout
    assert "  agent   worker" in done.stdout
    assert box.call("job", "status", code=1).stdout.strip() == "failed"
    assert "the disk is on fire" in box.call("job", "logs").stdout
    assert "the disk is on fire" in box.call("run", "logs", "last", "--agent", "worker").stdout
    refused = box.call("job", "result", code=1)
    assert "has no result: it is failed" in refused.stderr
    shown = box.json("job", "result", code=1)
    assert shown["status"] == "failed"
    assert shown["error"]["code"]


def test_nothing_is_submitted_that_cannot_run(box):
    folder = box.bundle("true")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["entrypoints"] = ["nobody"]
    manifest["edges"][1]["to_node"] = "ghost"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = box.call("blueprint", "run", "--folder", str(folder), code=2)
    assert done.stdout == ""
    assert "entrypoints[0]" in done.stderr
    assert "edges[1].to_node" in done.stderr
    error = json.loads(box.call("blueprint", "run", str(folder), "--json", code=2).stderr)["error"]
    assert len([p for p in error["details"]["problems"] if p["severity"] == "error"]) == 2
    assert box.runs() == []


def test_what_only_a_run_cares_about_is_refused_too(box):
    folder = box.bundle("true")
    words = ["blueprint", "run", str(folder), "--set", "inputs.adapter=file"]
    done = box.call(*words, "--set", "inputs.path=/no/such/file", code=2)
    assert "/no/such/file" in done.stderr
    elsewhere = box.bundle("true", "elsewhere", runner_module="Example.Runner.Nowhere")
    done = box.call("blueprint", "run", str(elsewhere), code=2)
    assert "Example.Runner.Nowhere" in done.stderr
    assert box.runs() == []
    assert box.json("job", "list") == []


@pytest.mark.drives("mnedge blueprint validate")
def test_validate_lists_every_problem_and_exits_with_one(box):
    folder = box.bundle("true")
    assert "is valid." in box.call("blueprint", "validate", str(folder)).stdout
    (folder / "config" / "default.json").write_text('{"a": 1,}')
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["nodes"].append(manifest["nodes"][0])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    told = box.call("blueprint", "validate", str(folder), code=1).stdout
    assert "is not valid: " in told
    assert "duplicate node_id start" in told
    assert "config/default.json\n" in told
    document = box.json("blueprint", "validate", str(folder), code=1)
    assert document["valid"] is False
    lines = box.call("blueprint", "validate", str(folder), "-o", "ndjson", code=1).stdout
    assert [json.loads(line) for line in lines.splitlines()] == document["problems"]
    assert (
        box.call("blueprint", "validate", "prime_range_scan", "--profile", "strict").returncode == 0
    )
    assert "no blueprint is called" in box.call("blueprint", "validate", "nowhere", code=2).stderr


@pytest.mark.drives("mnedge blueprint list")
def test_the_bundled_blueprints_are_listed(box):
    listed = box.json("blueprint", "list")
    assert "message_routing_trace" in {entry["blueprint_id"] for entry in listed}
    assert "message_routing_trace" in box.call("blueprint", "list").stdout


# ---- steering ----


@pytest.mark.drives("mnedge job pause")
@pytest.mark.drives("mnedge job resume")
@pytest.mark.drives("mnedge job cancel")
def test_a_second_process_pauses_resumes_and_cancels(box, waiting):
    run = box.start("blueprint", "run", "--folder", str(waiting))
    until(lambda: began(box))
    assert box.call("job", "pause", "last").stdout.startswith("✓ Job paused")
    assert box.status() == "paused"
    assert box.call("run", "resume", "last").stdout.startswith("✓ Job resumed")
    assert box.status() == "running"
    assert "job is not paused" in box.call("job", "resume", "last", code=1).stderr
    assert box.call("job", "cancel", "last", "--reason", "enough").stdout.startswith(
        "✓ Job cancelled"
    )
    told, _ = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 1
    assert "mine cancelled" in told
    assert box.status() == "cancelled"
    assert not any(map(lives, began(box)))
    assert "terminal state" in box.call("job", "cancel", "last", code=1).stderr
    types = [event["type"] for event in box.json("job", "events")]
    assert [t for t in types if t in ("job_paused", "job_resumed", "job_cancelled")] == [
        "job_paused", "job_resumed", "job_cancelled",
    ]  # fmt: skip


def test_ctrl_c_cancels_the_job_and_waits_for_its_workers(box, waiting):
    run = box.start("blueprint", "run", "--folder", str(waiting))
    until(lambda: began(box))
    os.killpg(run.pid, signal.SIGINT)
    told, said = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 130
    assert "cancelling" in told
    assert "mine cancelled" in told
    assert said == ""
    assert box.status() == "cancelled"
    assert not any(map(lives, began(box)))


def test_a_second_ctrl_c_leaves_at_once_and_the_job_can_be_recovered(box, gate):
    folder = box.bundle(
        f"trap '' TERM; echo $$ >> {box.folder / 'began'};"
        f" while [ ! -e {gate} ]; do sleep 0.05; done"
    )
    run = box.start("blueprint", "run", "--folder", str(folder))
    until(lambda: began(box))
    os.kill(run.pid, signal.SIGINT)
    assert any("cancelling" in line for line in iter(run.stdout.readline, ""))
    pressed_at = time.monotonic()
    os.kill(run.pid, signal.SIGINT)
    told, said = run.communicate(timeout=WITHIN_S)
    assert time.monotonic() - pressed_at < 4.0, "it waited for a worker that ignores SIGTERM"
    assert run.returncode == 130
    assert "left while it was being cancelled" in told
    assert said == ""
    assert not any(map(lives, began(box)))
    assert "mine cancelled" in box.call("job", "recover", "--all", code=1).stdout


def test_a_shutdown_leaves_the_job_to_be_recovered(box, waiting, gate):
    run = box.start("blueprint", "run", "--folder", str(waiting))
    until(lambda: began(box))
    run.terminate()
    told, _ = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 130
    assert "job recover" in told
    assert box.status() == "running"
    assert not any(map(lives, began(box)))
    gate.touch()
    done = box.call("job", "recover", "last")
    assert "mine completed" in done.stdout
    assert box.status() == "completed"
    assert "nothing to recover" in box.call("job", "recover", "last", code=1).stderr


@pytest.mark.drives("mnedge job recover")
def test_a_killed_run_is_found_shown_and_recovered(box, waiting, gate):
    run = box.start("blueprint", "run", "--folder", str(waiting))
    until(lambda: began(box))
    run.kill()
    run.wait()
    assert "none: mnedge job recover" in box.call("job", "show").stdout
    assert "without owner" in box.call("doctor", code=None).stdout
    gate.touch()
    told = box.json("job", "recover", "--all")
    assert told["job"]["status"] == "completed"
    assert box.json("job", "recover", "--all") == []
    seqs = [event["seq"] for event in box.json("job", "events") if "seq" in event]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_job_that_nobody_owns_is_cancelled_at_once(box, waiting):
    run = box.start("blueprint", "run", "--folder", str(waiting))
    until(lambda: began(box))
    run.kill()
    run.wait()
    assert box.call("job", "cancel", "last").stdout.startswith("✓ Job cancelled")
    assert box.status() == "cancelled"
    until(lambda: not any(map(lives, began(box))))


@pytest.mark.drives("mnedge daemon")
def test_a_daemon_takes_up_what_was_only_submitted(box, waiting, gate):
    done = box.call("blueprint", "run", "--folder", str(waiting), "--detach")
    assert "Job submitted successfully" in done.stdout
    assert "no daemon" in done.stdout
    assert box.status() == "pending"
    daemon = box.start("daemon")
    until(lambda: began(box))
    assert "already serves" in box.call("daemon", code=1).stderr
    second = box.json("blueprint", "run", "message_routing_trace", "--detach")
    assert second["daemon"]
    until(lambda: box.json("job", "status", second["job"]["job_id"])["status"] == "completed")
    gate.touch()
    until(lambda: "completed" in box.call("job", "status", "mine", code=None).stdout)
    daemon.terminate()
    daemon.communicate(timeout=WITHIN_S)
    assert daemon.returncode == 0


def test_a_service_that_is_only_submitted_is_not_said_to_end_by_a_key(box):
    told = box.call("blueprint", "run", "live_telemetry", "--detach").stdout
    assert "a service: it goes on until it is cancelled" in told
    assert "Ctrl-C" not in told


# ---- looking ----


def test_a_run_beside_a_daemon_is_given_to_it(box):
    daemon = box.start("daemon")
    assert "ready" in daemon.stderr.readline()
    for _ in range(3):
        assert box.json("blueprint", "run", "message_routing_trace")["job"]["status"] == "completed"
    assert "runs in" in box.call("blueprint", "run", "message_routing_trace").stdout
    written = box.json("audit", "list")
    assert [one["action"] for one in written] == ["job.submit"] * 4
    assert daemon.poll() is None


def test_a_daemon_goes_on_with_what_a_killed_run_left(box, waiting, gate):
    run = box.start("blueprint", "run", "--folder", str(waiting))
    until(lambda: began(box))
    daemon = box.start("daemon")
    assert "ready" in daemon.stderr.readline()
    run.kill()
    run.wait()
    until(lambda: len(began(box)) == 2)
    assert not lives(began(box)[0])
    gate.touch()
    until(lambda: box.status() == "completed")
    assert daemon.poll() is None


@pytest.mark.drives("mnedge job events")
def test_events_are_followed_from_another_process_until_the_end(box, waiting, gate):
    run = box.start("blueprint", "run", "--folder", str(waiting), "-q")
    until(lambda: began(box))
    follower = box.start("job", "events", "last", "--follow", "-o", "ndjson")
    gate.touch()
    told, said = follower.communicate(timeout=WITHIN_S)
    assert (follower.returncode, said) == (0, "")
    events = [json.loads(line) for line in told.splitlines()]
    seqs = [event["seq"] for event in events if "seq" in event]
    assert seqs == list(range(1, len(seqs) + 1))
    assert "job_completed" in {event["type"] for event in events}
    run.communicate(timeout=WITHIN_S)


@pytest.mark.drives("mnedge job list")
@pytest.mark.drives("mnedge job show")
@pytest.mark.drives("mnedge job result")
@pytest.mark.drives("mnedge run list")
@pytest.mark.drives("mnedge run show")
def test_a_finished_job_can_be_looked_at_from_all_sides(box):
    box.call("blueprint", "run", "message_routing_trace", "-q")
    (folder,) = box.runs()
    job_id = folder.name
    assert [job["job_id"] for job in box.json("job", "list")] == [job_id]
    assert box.json("job", "list", "--running-only") == []
    assert job_id in box.call("job", "list", "--status", "completed").stdout
    assert box.json("job", "show", job_id)["agents"][-1]["agent_id"] == "reviewer"
    assert "reviewer" in box.call("job", "show", job_id[:30]).stdout
    assert json.loads(box.call("job", "result", "last").stdout)["count"] == 1
    only = box.json("job", "events", "--type", "job_*", "--after", "1", "--last", "1")
    assert [event["type"] for event in only] == ["job_completed"]
    lines = box.call("job", "events", "--agent", "reviewer").stdout
    assert "agent_message_received" in lines
    assert [run["run_id"] for run in box.json("run", "list")] == [job_id]
    assert job_id in box.call("run", "list").stdout
    assert box.json("run", "show", "last")["run"]["status"] == "completed"
    assert "result.json" in box.call("run", "show").stdout


def test_an_unknown_job_is_answered_with_near_ones(box):
    assert "no job" in box.call("job", "show", "last", code=2).stderr
    box.call("blueprint", "run", "message_routing_trace", "-q", "--run-id", "trace-one")
    said = box.call("job", "show", "trace-oen", code=2).stderr
    assert "trace-one" in said
    error = json.loads(box.call("job", "events", "nothing", "--json", code=2).stderr)["error"]
    assert error["code"] == "job.not_found"


def test_doctor_says_what_is_there(box):
    told = box.call("doctor").stdout
    for word in ("python3", "bash", "sqlite", "host_local", "data directory", "openshell"):
        assert word in told
    assert box.json("doctor")["healthy"] is True


def test_doctor_exits_with_one_if_the_data_directory_is_none(box):
    box.home.mkdir()
    (box.home / "mnedge").write_text("a file")
    told = box.call("doctor", code=1).stdout
    assert "is not a folder" in told
    assert "broken" in told


@pytest.mark.drives("mnedge docs")
def test_the_manual_is_there(box):
    assert box.call("docs", "recovery").stdout.startswith("# Recovery")
    assert "quickstart" in box.call("docs").stdout
    assert "recovery" in box.call("docs", "recoverry", code=2).stderr


def test_python_dash_m_is_the_program(box):
    assert box.call("--version").stdout.startswith("mnedge ")
    assert "did you mean 'blueprint'" in box.call("bluprint", "list", code=2).stderr


# ---- edges ----


def test_a_reader_that_goes_away_is_no_accident(box):
    process = box.start("docs", "cli")
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(timeout=WITHIN_S) == 1
    assert said == ""


def test_what_nobody_foresaw_ends_in_a_report_not_in_a_traceback(box):
    done = box.call(
        "blueprint", "run", "message_routing_trace", code=1, MNEDGE_FAULT="table.put.after:1:raise"
    )
    (report,) = (box.home / "mnedge" / "crashes").iterdir()
    assert "Traceback" in report.read_text()
    assert str(report) in done.stderr
    assert len(done.stderr.splitlines()) == 2


def on_a_terminal(box, *words):
    """Run a verb at a terminal of its own; return what it drew."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*MNEDGE, *words],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=box.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
        cwd=box.folder,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break  # the other side is closed
        if not part:
            break
        seen += part
    os.close(ours)
    assert process.wait(timeout=WITHIN_S) == 0, seen.decode()
    return seen.decode()


def test_a_terminal_gets_a_picture_that_is_drawn_over(box):
    folder = box.bundle("echo one")
    manifest = json.loads((folder / "manifest.json").read_text())
    start, worker, end = manifest["nodes"]
    end["config"] = {"complete_after": 8, "output_message_type": None, "complete_job": True}
    names = [f"worker_{number}" for number in range(1, 9)]
    manifest["nodes"] = [start, *({**worker, "node_id": name} for name in names), end]
    manifest["edges"] = [
        edge
        for name in names
        for edge in (
            {"edge_id": f"to_{name}", "from_node": "start", "to_node": name, "message_type": "go"},
            {"edge_id": f"of_{name}", "from_node": name, "to_node": "end", "message_type": "done"},
        )
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    text = on_a_terminal(box, "blueprint", "run", "--folder", str(folder))
    assert text.index("\x1b[?25l") < text.index("\x1b[?25h")  # the cursor comes back
    assert "worker_1 … worker_8" in text
    assert "8 executors" in text
    assert "━━━━━━━━━━━━━━━━━━━━ 8 of 8" in text
    assert "\x1b[32mcompleted" in text


def test_a_terminal_gets_the_manual_set_in_type(box):
    text = on_a_terminal(box, "docs", "recovery")
    assert "# Recovery" not in text
    assert "Recovery" in text
    assert "\x1b[" in text


def test_the_blueprint_in_the_manual_runs_as_it_stands(box, tmp_path):
    page = (ROOT / "mnedge" / "docs" / "blueprints.md").read_text()
    folder = tmp_path / "greetings"
    for name, text in re.findall(r"(?ms)^`([\w./]+)`\n\n```\w*\n(.*?)^```$", page):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    result = box.json("blueprint", "run", "--folder", str(folder))["result"]
    assert result["count"] == 2
    assert [message["number"] for message in result["messages"]] == [1, 2]
    assert result["last_message"]["text"].startswith("HELLO")


def test_a_large_result_is_printed_whole(box):
    box.call(
        "blueprint", "run", "--folder", str(box.bundle("head -c 900000 /dev/zero | tr '\\0' x"))
    )
    told = json.loads(box.call("job", "result", "last").stdout)
    assert told["messages"][0]["sandbox"]["stdout"] == "x" * 900_000
