"""The command line and a daemon: over its socket, over TLS with a token, across its restarts."""

import hashlib
import json
import os
import re
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.box import Box, until

pytestmark = pytest.mark.live

ROLLOUT = ("blueprint", "run", "setting_rollout", "--set", "human_control.timeout_seconds=120")
GHOST = '{"emit_messages":[{"to":"ghost","type":"note","body":{"n":1}}]}'


class Served(Box):
    """A machine with a daemon."""

    def serve(self, *words: str) -> None:
        """Start the daemon, and wait until it answers."""
        self.daemon = self.start("daemon", *words)
        until(lambda: self.endpoints().get("pid") == self.daemon.pid)

    def endpoints(self) -> dict[str, object]:
        """Return where it is reached."""
        try:
            return json.loads((self.home / "mnedge" / "endpoints.json").read_text())
        except (OSError, ValueError):
            return {}

    def kill(self) -> None:
        """Take the daemon away without a word."""
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait(30)

    def lists_of_jobs(self) -> float:
        """Return how often the daemon was asked for its jobs."""
        transport = httpx.HTTPTransport(uds=str(self.home / "mnedge" / "mnedge.sock"))
        with httpx.Client(transport=transport, base_url="http://node") as client:
            figures = client.get("/metrics").text
        counted = r'^http_requests_total\{method="GET",route="/api/v1/jobs",status="200"\} (\S+)$'
        return sum(map(float, re.findall(counted, figures, re.MULTILINE)))

    def waiting(self, after: str = "echo through") -> tuple[Path, Path]:
        """Return a bundle whose worker waits for a file, and that file."""
        gate = self.folder / "gate"
        told = f"echo one; while [ ! -e {gate} ]; do sleep 0.05; done; {after}"
        return self.bundle(told), gate

    def job(self) -> dict[str, object]:
        """Return the newest job."""
        return self.json("job", "show")["job"]


@pytest.fixture
def box(tmp_path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.close()


@pytest.fixture
def served(box) -> Served:
    box.serve()
    return box


def kept_events(box: Box) -> list[dict[str, object]]:
    """Return the events in the one run folder."""
    (folder,) = box.runs()
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def without_time(text: str) -> str:
    """Return what is said without how long ago it was."""
    text = re.sub(r"just now|\d+ (s|min) ago", "AGO", text)
    return re.sub(r" +", " ", text)


# ---- the same words ----

LOOKS = (
    ("job", "list"),
    ("job", "list", "--json"),
    ("job", "unfinished", "--json"),
    ("job", "show"),
    ("job", "show", "-v"),
    ("job", "show", "--json"),
    ("job", "steps"),
    ("job", "steps", "--json"),
    ("job", "status"),
    ("job", "result"),
    ("job", "result", "--json"),
    ("job", "events"),
    ("job", "events", "--after", "7", "--type", "job_*", "-o", "ndjson"),
    ("job", "events", "-n", "3", "--json"),
    ("job", "logs"),
    ("job", "logs", "--json"),
    ("job", "requests", "--json"),
    ("job", "dead-letters", "list"),
    ("job", "dead-letters", "show", "last", "nothing"),
    ("job", "dead-letters", "redrive", "last", "--all"),
    ("job", "artifacts", "--json"),
    ("job", "pause", "last"),
    ("job", "cancel", "last", "--json"),
    ("job", "show", "nobody"),
    ("job", "approve", "last"),
    ("run", "list"),
    ("run", "show"),
    ("definition", "list", "--json"),
    ("definition", "show", "nothing", "--json"),
)


@pytest.mark.drives("mnedge job show")
@pytest.mark.drives("mnedge job list")
@pytest.mark.drives("mnedge job unfinished")
@pytest.mark.drives("mnedge job artifacts")
@pytest.mark.parametrize("blueprint", ["message_routing_trace", "meter_readout"])
def test_store_and_daemon_tell_the_same_with_the_same_words(box, blueprint):
    box.call("blueprint", "run", blueprint, "-q", "--run-id", "mine")
    here = [box.call(*words, code=None) for words in LOOKS]
    box.serve()
    for words, before in zip(LOOKS, here, strict=True):
        after = box.call(*words, code=None)
        assert without_time(after.stdout) == without_time(before.stdout), words
        assert without_time(after.stderr) == without_time(before.stderr), words
        assert after.returncode == before.returncode, words


# ---- running ----


@pytest.mark.drives("mnedge blueprint run")
def test_a_daemon_is_given_the_run_and_it_is_watched(served):
    done = served.call("blueprint", "run", "message_routing_trace", "--input", "request=look")
    assert "runs in     the daemon of this machine" in done.stdout
    assert "✓ message_routing_trace completed in " in done.stdout
    assert "look" in done.stdout
    events = [
        json.loads(line) for line in (served.runs()[0] / "events.jsonl").read_text().splitlines()
    ]
    assert any(event["type"] == "job_running" for event in events)
    told = served.json("blueprint", "run", "message_routing_trace")
    assert (told["job"]["status"], told["result"]["count"]) == ("completed", 1)
    lines = served.call("blueprint", "run", "message_routing_trace", "-o", "ndjson").stdout
    *events, last = map(json.loads, lines.splitlines())
    seqs = [event["seq"] for event in events if "seq" in event]
    assert seqs == list(range(1, len(seqs) + 1))
    assert last["job"]["status"] == "completed"


@pytest.mark.drives("mnedge job submit")
@pytest.mark.drives("mnedge job watch")
@pytest.mark.drives("mnedge job cancel")
def test_a_job_is_submitted_watched_and_cancelled(served):
    bundle, _ = served.waiting()
    told = served.call("job", "submit", str(bundle / "manifest.json"), "--run-id", "long")
    assert "runs in     the daemon of this machine" in told.stdout
    watched = served.start("job", "watch", "long")
    left = served.start("job", "watch", "long")
    until(lambda: served.job()["status"] == "running")
    until(lambda: "worker" in served.call("job", "events", "long").stdout)
    left.send_signal(signal.SIGINT)
    assert left.wait(30) == 130
    assert "mnedge job watch long looks again" in left.communicate()[0]
    assert served.job()["status"] == "running"
    assert "✓ Job cancelled" in served.call("job", "cancel", "long").stdout
    assert watched.wait(30) == 1
    assert "mine cancelled after" in watched.communicate()[0]


@pytest.mark.drives("mnedge job watch")
def test_a_failure_is_watched_with_the_last_words_of_the_worker(served):
    served.call("job", "submit", str(served.bundle("echo on fire >&2; exit 3")))
    done = served.call("job", "watch", code=1)
    assert "✗ mine failed after" in done.stdout
    assert "│ on fire" in done.stdout


def test_ctrl_c_cancels_what_a_daemon_runs(served):
    bundle, _ = served.waiting()
    run = served.start("blueprint", "run", "--folder", str(bundle))
    until(lambda: served.json("job", "list") and served.job()["status"] == "running")
    run.send_signal(signal.SIGINT)
    assert run.wait(30) == 130
    assert served.job()["status"] == "cancelled"


@pytest.mark.drives("mnedge job pause")
@pytest.mark.drives("mnedge job resume")
@pytest.mark.drives("mnedge job cancel-all")
def test_jobs_are_paused_resumed_and_all_cancelled(served):
    bundle, _ = served.waiting()
    served.call("job", "submit", str(bundle))
    until(lambda: served.job()["status"] == "running")
    assert served.call("job", "pause", "last").stdout.startswith("✓ Job paused")
    assert "job is not running" in served.call("job", "pause", "last", code=1).stderr
    assert served.call("job", "resume", "last").stdout.startswith("✓ Job resumed")
    told = served.json("job", "cancel-all", "--yes")
    assert [one["status"] for one in told] == ["cancelled"]
    assert "every job is over already" in served.call("job", "cancel-all", "-y").stdout


@pytest.mark.drives("mnedge job retry")
def test_a_failed_job_goes_on_in_the_daemon(served):
    served.call("blueprint", "run", "meter_readout", "--input", "spoiled=9", "-q", code=1)
    told = served.call("job", "retry", "last", "--run-id", "again", code=1)
    assert "kept     1 step: wake_meter" in told.stdout
    assert "runs in  the daemon of this machine" in told.stdout
    assert served.json("job", "steps", "again")[0]["terminal_reason"] == "carried over"
    detached = served.json("job", "retry", "again", "--detach", "--run-id", "third")
    assert detached["daemon"] == "the daemon of this machine"


@pytest.mark.drives("mnedge job requests")
@pytest.mark.drives("mnedge job approve")
@pytest.mark.drives("mnedge job respond")
@pytest.mark.drives("mnedge job reject")
@pytest.mark.drives("mnedge top")
def test_people_answer_through_the_daemon(served):
    run = served.start(*ROLLOUT)
    until(lambda: served.json("job", "requests"))
    assert "mnedge job approve|reject" in served.call("job", "requests").stdout
    seen = served.json("top", "--once")
    assert seen["human_requests"][0]["job_id"] == seen["jobs"][0]["job_id"]
    assert "waits for a person" in served.call("top", "--once").stdout
    refused = served.call("job", "respond", "last", "--decision", "perhaps", code=2)
    assert "approve, reject" in refused.stderr
    told = served.json("job", "approve", "last", "--comment", "fine", "--value", '{"ticket": 7}')
    assert (told["acted"], told["answer"]["decision"]) == (True, "approve")
    assert run.wait(60) == 0
    steps = {step["id"]: step["status"] for step in served.json("job", "steps")}
    assert (steps["roll_out"], steps["roll_back"]) == ("completed", "skipped")
    again = served.start(*ROLLOUT)
    until(lambda: served.json("job", "requests"))
    assert served.call("job", "reject", "last").stdout.startswith("✓ Rejected")
    assert again.wait(60) == 0


@pytest.mark.drives("mnedge job dead-letters list")
@pytest.mark.drives("mnedge job dead-letters show")
@pytest.mark.drives("mnedge job dead-letters redrive")
@pytest.mark.drives("mnedge job dead-letters discard")
@pytest.mark.parametrize("with_daemon", [True, False])
def test_dead_letters_are_shown_tried_again_and_forgotten(box, with_daemon):
    bundle, _ = box.waiting()
    manifest = json.loads((bundle / "manifest.json").read_text())
    other = json.loads(json.dumps(manifest["nodes"][1]))
    other["node_id"], other["config"]["command"] = "other", f"echo '{GHOST}'"
    manifest["nodes"].append(other)
    manifest["edges"].append(
        {"edge_id": "c", "from_node": "start", "to_node": "other", "message_type": "go"}
    )
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    if with_daemon:
        box.serve()
        box.call("job", "submit", str(bundle))
    else:
        box.start("blueprint", "run", "--folder", str(bundle))
        until(lambda: box.json("job", "list"))
    until(lambda: box.json("job", "dead-letters", "list"))
    (letter,) = box.json("job", "dead-letters", "list")
    told = box.call("job", "dead-letters", "show", "last", letter["message_id"][:8])
    assert "ghost" in told.stdout
    left = box.call("job", "dead-letters", "redrive", "last", "--all", code=1)
    assert "cannot be delivered" in left.stderr
    done = box.json("job", "dead-letters", "discard", "last", letter["message_id"])
    assert (done["acted"], done["message_ids"]) == (True, [letter["message_id"]])
    assert box.json("job", "dead-letters", "list") == []


# ---- following ----


@pytest.mark.drives("mnedge job events")
@pytest.mark.drives("mnedge job logs")
def test_a_daemon_that_is_killed_and_comes_back_loses_and_repeats_nothing(served):
    bundle, gate = served.waiting("echo two")
    served.call("job", "submit", str(bundle), "--run-id", "long")
    events = served.start("job", "events", "long", "--follow", "-o", "ndjson")
    watched = served.start("job", "watch", "long", "-o", "ndjson")
    logs = served.start("job", "logs", "long", "--follow", "-o", "ndjson")
    first = json.loads(events.stdout.readline())
    assert first["seq"] == 1
    until(lambda: "executor_lease_acquired" in served.call("job", "events", "long").stdout)
    for _ in range(2):
        served.kill()
        served.serve()
    until(lambda: "job_recovered" in served.call("job", "events", "long").stdout)
    gate.touch()
    assert events.wait(60) == 0
    told = [first, *map(json.loads, events.stdout.read().splitlines())]
    kept = [
        json.loads(line) for line in (served.runs()[0] / "events.jsonl").read_text().splitlines()
    ]
    assert told == kept
    assert watched.wait(60) == 0
    assert json.loads(watched.communicate()[0].splitlines()[-1])["job"]["status"] == "completed"
    assert logs.wait(60) == 0
    written = [
        one["stdout"]
        for one in map(json.loads, logs.communicate()[0].splitlines())
        if one.get("type") == "worker_output"
    ]
    assert len(written) == 1
    assert written[0].endswith("two\n")


@pytest.mark.drives("mnedge logs")
@pytest.mark.drives("mnedge events")
def test_all_jobs_are_read_at_once(served):
    bundle = served.bundle("echo hello from the worker")
    logs = served.start("logs", "--follow", "-o", "ndjson")
    events = served.start("events", "--follow", "--type", "job_completed", "-o", "ndjson")
    until(lambda: served.lists_of_jobs() >= 4)  # what comes from now on is new to both
    for name in ("a", "b"):
        served.call("job", "submit", str(bundle), "--run-id", name)
        served.call("job", "watch", name)
    seen: set[str] = set()
    while seen != {"a", "b"}:
        seen.add(json.loads(events.stdout.readline())["job_id"])
    written: set[str] = set()
    while written != {"a", "b"}:
        one = json.loads(logs.stdout.readline())
        if "hello from the worker" in str(one.get("stdout")):
            written.add(one["job_id"])
    for process in (logs, events):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert "hello from the worker" in served.call("logs").stdout
    assert "hello from the worker" in served.call("logs", "a", "--agent", "worker").stdout
    lines = served.call("events", "--type", "job_completed").stdout.splitlines()
    assert len(lines) == 2


# ---- files, definitions, the machine ----


@pytest.mark.drives("mnedge job artifact get")
def test_files_of_a_job_are_fetched(served):
    served.call("blueprint", "run", "message_routing_trace", "-q")
    job_id = served.job()["job_id"]
    whole = served.call("job", "artifact", "get", "last", "result.json").stdout
    assert whole == (served.runs()[0] / "result.json").read_text()
    served.call("job", "artifact", "get", job_id, "result.json", "--out", "copy.json")
    assert (served.folder / "copy.json").read_text() == whole
    there = served.call(
        "job", "artifact", "get", "last", "result.json", "--out", "copy.json", code=1
    )
    assert "--force" in there.stderr
    served.call("job", "artifact", "get", "last", "result.json", "--out", "copy.json", "--force")
    gone = served.call("job", "artifact", "get", "last", "../run.json", code=2)
    assert "left no file" in gone.stderr


@pytest.mark.drives("mnedge definition create")
@pytest.mark.drives("mnedge definition list")
@pytest.mark.drives("mnedge definition show")
@pytest.mark.drives("mnedge definition start")
@pytest.mark.drives("mnedge definition archive")
@pytest.mark.drives("mnedge definition delete")
@pytest.mark.parametrize("with_daemon", [True, False])
def test_a_definition_is_kept_started_archived_and_forgotten(box, with_daemon):
    if with_daemon:
        box.serve()
    made = box.json("definition", "create", "message_routing_trace", "--id", "trace")
    assert made["blueprint_id"] == "message_routing_trace"
    assert [one["definition_id"] for one in box.json("definition", "list")] == ["trace"]
    told = box.call("definition", "start", "trace", "--run-id", "first")
    if with_daemon:
        assert "✓ message_routing_trace completed" in told.stdout
        assert box.job()["status"] == "completed"
    else:
        assert "mnedge job recover first" in told.stdout
        box.call("job", "recover", "first", "-q")
    shown = box.json("definition", "show", "trace")
    assert [run["job_id"] for run in shown["runs"]] == ["first"]
    box.call("definition", "archive", "trace")
    assert "archived" in box.call("definition", "start", "trace", code=1).stderr
    assert box.json("definition", "list") == []
    assert len(box.json("definition", "list", "--all")) == 1
    box.call("definition", "delete", "trace", "--yes")
    assert box.json("definition", "list", "--all") == []
    assert "trace" in box.call("definition", "show", "trace", code=2).stderr


@pytest.mark.drives("mnedge node list")
@pytest.mark.drives("mnedge resource list")
@pytest.mark.drives("mnedge top")
@pytest.mark.parametrize("with_daemon", [True, False])
def test_the_machine_is_shown(box, with_daemon):
    if with_daemon:
        box.serve()
    (node,) = box.json("node", "list")
    assert node["self"] is True
    assert node["name"] in box.call("node", "list").stdout
    resources = box.json("resource", "list")
    assert resources["totals"]["cpu_cores"] == os.cpu_count()
    assert ("default" in resources["pools"]) is with_daemon
    assert "cores" in box.call("resource", "list").stdout
    seen = box.json("top", "--once")
    assert seen["health"]["status"] == ("ok" if with_daemon else "no daemon")
    assert "no jobs yet" in box.call("top", "--once").stdout


# ---- elsewhere ----


@pytest.fixture
def elsewhere(served) -> Iterator[Box]:
    """Another machine, from which the first is reached over TLS."""
    (served.folder / "tls.yaml").write_text("relay: {listen: {tls: {}}}")
    served.kill()
    served.serve("--config", "tls.yaml", "--http", "127.0.0.1:0")
    token = served.call("token", "create", "--name", "cli", "--scope", "operate").stdout
    (served.folder / "there").mkdir()
    made = Box(served.folder / "there")
    (made.folder / "token").write_text(token)
    yield made
    made.close()


@pytest.mark.drives("mnedge context add")
@pytest.mark.drives("mnedge context list")
@pytest.mark.drives("mnedge context use")
@pytest.mark.drives("mnedge context show")
@pytest.mark.drives("mnedge context remove")
def test_another_node_is_asked_over_tls_with_a_token(served, elsewhere):
    url = served.endpoints()["http"]
    certificate = served.home / "mnedge" / "identity" / "tls.crt"
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    pin = hashlib.sha256(der).hexdigest()
    elsewhere.call("context", "add", "edge", url, "--token-file", "token", "--fingerprint", pin)
    elsewhere.call("context", "add", "ca", url, "--token", "token", "--ca", str(certificate))
    elsewhere.call("context", "add", "bad", url, "--token", "token", "--fingerprint", "00" * 32)
    kept = elsewhere.home / "mnedge" / "contexts.yaml"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (elsewhere.folder / "token").read_text().strip() not in kept.read_text()
    assert [one["name"] for one in elsewhere.json("context", "list")] == ["edge", "ca", "bad"]

    folder = elsewhere.bundle(
        "echo sent over; cat data.txt", upload_path="kit", workdir="/sandbox/job/kit"
    )
    (folder / "payloads" / "kit").mkdir()
    (folder / "payloads" / "kit" / "data.txt").write_text("the payload")
    done = elsewhere.call(
        "--host", "edge", "blueprint", "run", "--folder", str(folder), "--run-id", "far"
    )
    assert "runs in     edge" in done.stdout
    assert served.json("job", "show", "far")["job"]["status"] == "completed"
    assert elsewhere.runs() == []
    assert "the payload" in elsewhere.call("--host", "ca", "job", "logs", "far").stdout
    told = elsewhere.call("job", "list", "--host", "edge,ca", "--json")
    assert {one["host"] for one in json.loads(told.stdout)} == {"edge", "ca"}

    bad = elsewhere.call("--host", "bad", "job", "list", code=13)
    assert "another certificate" in bad.stderr
    untrusted = elsewhere.call("--host", str(url), "job", "list", code=1)
    assert "is not trusted" in untrusted.stderr
    denied = elsewhere.call("--host", "edge", "job", "list", code=13, MNEDGE_TOKEN="no.such.token")
    assert "token" in denied.stderr
    assert "edge" in elsewhere.call("--host", "edg", "job", "list", code=2).stderr
    local = elsewhere.call("--host", "edge", "job", "recover", "--all", code=2)
    assert "this machine only" in local.stderr

    elsewhere.call("context", "use", "edge")
    assert elsewhere.json("job", "show")["job"]["job_id"] == "far"
    assert elsewhere.json("context", "show")["name"] == "edge"
    assert elsewhere.json("job", "list", "--host", "here") == []
    assert json.loads(elsewhere.call("job", "list", "--json", MNEDGE_HOST="ca").stdout)
    elsewhere.call("context", "remove", "edge")
    assert elsewhere.json("job", "list") == []


@pytest.mark.drives("mnedge blueprint run")
def test_a_named_blueprint_runs_where_it_is(served, elsewhere):
    url, ca = served.endpoints()["http"], str(served.home / "mnedge" / "identity" / "tls.crt")
    elsewhere.call("context", "add", "edge", str(url), "--token", "token", "--ca", ca, "--use")
    told = elsewhere.json("blueprint", "run", "message_routing_trace", "--input", "request=far")
    assert told["job"]["status"] == "completed"
    assert "far" in json.dumps(told["result"])
    assert served.job()["job_id"] == told["job"]["job_id"]
    unknown = elsewhere.call("blueprint", "run", "nowhere", code=2)
    assert "no blueprint is called" in unknown.stderr
    assert "message_routing_trace" in elsewhere.call("run", "list").stdout
    assert "final artifact" in elsewhere.call("run", "show").stdout


# ---- nobody there ----


def test_a_socket_that_nobody_serves_is_no_daemon(served):
    served.kill()
    assert (served.home / "mnedge" / "mnedge.sock").exists()
    done = served.call("blueprint", "run", "message_routing_trace")
    assert "runs in" not in done.stdout
    assert "✓ message_routing_trace completed" in done.stdout
    assert served.json("job", "list")[0]["status"] == "completed"


def test_a_socket_with_a_very_long_path_is_reached(tmp_path):
    box = Served(tmp_path)
    box.home = tmp_path / ("long" * 20) / ("path" * 20)
    box.environ["MN_HOME"] = str(box.home)
    try:
        box.serve()
        done = box.call("blueprint", "run", "message_routing_trace")
        assert "runs in     the daemon of this machine" in done.stdout
    finally:
        box.close()


@pytest.mark.drives("mnedge completion")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_our_words(served, shell):
    assert "_MNEDGE_COMPLETE" in served.call("completion", shell).stdout
    served.call("definition", "create", "message_routing_trace", "--id", "trace")
    told = served.call(
        _MNEDGE_COMPLETE="bash_complete", COMP_WORDS="mnedge definition start t", COMP_CWORD="3"
    )
    assert "trace" in told.stdout


@pytest.mark.drives("mnedge job recover")
def test_recover_stays_here_and_says_that_a_daemon_lives(served):
    told = served.call("job", "recover", "--all")
    assert "a daemon serves this data directory" in told.stdout
    assert "Nothing to recover" in told.stdout
