"""What a real daemon shows of itself: figures, traces through a crash, goals that burn."""

import gzip
import json
import os
import signal
import socket
import time

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from mnedge.model.tracing import parsed
from tests.live.box import Box, until
from tests.live.receiver import Receiver

pytestmark = pytest.mark.live

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ASKED = f"00-{TRACE}-00f067aa0ba902b7-01"


class Node:
    """A daemon, and a client on its socket."""

    def __init__(self, box, config=""):
        self.box = box
        box.folder.joinpath("mnedge.yaml").write_text(config)
        self.socket = box.home / "mnedge" / "mnedge.sock"
        self.start()

    def start(self):
        self.process = self.box.start("daemon", "--config", str(self.box.folder / "mnedge.yaml"))
        until(self.answers)

    def answers(self):
        assert self.process.poll() is None, self.process.communicate()
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.socket)) != 0:
                return False
        return self.get("/api/v1/health/ready").status_code == 200

    def client(self):
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://node", timeout=30
        )

    def get(self, path):
        with self.client() as client:
            return client.get(path)

    def post(self, path, body=None, **headers):
        with self.client() as client:
            return client.post(path, json=body, headers=headers)

    def submit(self, command, name="mine", **headers):
        folder = self.box.bundle(command, name)
        manifest = json.loads((folder / "manifest.json").read_text())
        answer = self.post("/api/v1/jobs", {"manifest": manifest, "payloads": {}}, **headers)
        assert answer.status_code == 201, answer.text
        return answer.json()["job_id" if "job_id" in answer.json() else "job"]

    def job(self, job_id):
        return self.get(f"/api/v1/jobs/{job_id}").json()["job"]

    def figures(self):
        families = text_string_to_metric_families(self.get("/metrics").text)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def box(tmp_path):
    made = Box(tmp_path)
    yield made
    made.close()


def id_of(found):
    return found["job_id"] if isinstance(found, dict) else found


def test_a_trace_goes_through_the_job_into_the_worker_and_is_told(box):
    node = Node(box)
    job_id = id_of(node.submit('echo "$TRACEPARENT" > "$MN_RUN_DIR/trace.txt"', traceparent=ASKED))
    until(lambda: node.job(job_id)["status"] == "completed")
    told = parsed((box.home / "runs" / job_id / "trace.txt").read_text().strip())
    assert told.trace_id == TRACE
    trace = node.get(f"/api/v1/traces/{TRACE}").json()
    spans = {span["span_id"]: span for span in trace["spans"]}
    attempt = spans[told.span_id]
    assert attempt["name"] == "attempt worker"
    job = spans[attempt["parent_id"]]
    request = spans[job["parent_id"]]
    assert request["kind"] == "server"
    assert request["parent_id"] == ASKED.split("-")[2]
    lineage = node.get(f"/api/v1/jobs/{job_id}/lineage").json()
    (made,) = [one for one in lineage["artifacts"] if one["path"] == "trace.txt"]
    assert (made["made_by"]["how"], made["made_by"]["agent"]) == ("time", "worker")
    assert lineage["trace_id"] == TRACE
    figures = node.figures()
    assert figures[("mnedge_jobs_finished_total", (("status", "completed"),))] == 1
    assert figures[
        ("mnedge_attempts_total", (("kind", "attempt"), ("outcome", "succeeded")))
    ] == 1  # fmt: skip
    route = (("method", "POST"), ("route", "/api/v1/jobs"), ("status", "201"))
    assert figures[("http_requests_total", route)] == 1
    assert figures[("mnedge_store_condition", (("condition", "ok"),))] == 1
    assert figures[("mnedge_store_bytes", (("file", "database"),))] > 0
    assert figures[("mnedge_streams_open", ())] == 0
    assert figures[("process_resident_memory_bytes", ())] > 1 << 20
    node.stop()


def test_a_job_whose_owner_was_killed_stays_in_its_trace(box):
    node = Node(box)
    gate = box.folder / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.05; done"
    command = f'echo "$TRACEPARENT" >> "$MN_RUN_DIR/trace.txt"; {wait}'
    job_id = id_of(node.submit(command, traceparent=ASKED))
    written = box.home / "runs" / job_id / "trace.txt"
    until(lambda: written.exists() and written.read_text().count("\n") == 1)
    node.kill()
    node.start()
    until(lambda: written.read_text().count("\n") == 2)
    gate.touch()
    until(lambda: node.job(job_id)["status"] == "completed")
    first, second = (parsed(line) for line in written.read_text().splitlines())
    assert first.trace_id == second.trace_id == TRACE
    assert first.span_id != second.span_id
    trace = node.get(f"/api/v1/jobs/{job_id}/trace").json()
    spans = {span["span_id"]: span for span in trace["spans"]}
    assert spans[first.span_id]["status"] == "lost"
    assert spans[second.span_id]["links"] == [first.span_id]
    node.stop()


CONFIG = """
trace:
  evaluateEvery: 0.25
  slos:
    - {{name: neuron-job-success-rate, target: 99%, window: 1h, minEvents: 3}}
  notify:
    - name: pager
      skill: webhook
      settings: {{url: "{url}/page", secret: {{secretRef: {{name: env, key: PAGER_SECRET}}}}}}
    - {{name: record, skill: file, settings: {{path: alerts.jsonl}}}}
"""


def test_a_goal_burns_and_is_paged_once_and_resolved_once(box):
    box.environ["PAGER_SECRET"] = "of the pager"
    with Receiver() as receiver:
        node = Node(box, CONFIG.format(url=receiver.url))

        def told(severity="page"):
            bodies = [json.loads(posted.body)["body"] for posted in receiver.posted]
            return [body["status"] for body in bodies if body["severity"] == severity]

        for number in range(4):
            node.submit("exit 3", f"bad{number}")
        until(lambda: told() == ["firing"])
        until(lambda: node.get("/api/v1/slo").json()["data"][0]["bad"] == 4)
        assert node.get("/api/v1/slo").json()["data"][0]["state"] == "page"
        until(lambda: "resolved" in told(), within_s=60)
        assert told() == ["firing", "resolved"]
        assert all("x-mnedge-signature" in posted.headers for posted in receiver.posted)
        sent = box.json("alert", "test", "neuron-job-success-rate")
        assert [one["sent"] for one in sent] == [True, True]
        written = box.home / "mnedge" / "skills" / "alerts.jsonl"
        kinds = [json.loads(line)["kind"] for line in written.read_text().splitlines()]
        assert kinds.count("test") == 1
        assert kinds.count("alert") >= 2
        figures = node.figures()
        labels = (("channel", "pager"), ("result", "sent"))
        assert figures[("mnedge_alert_deliveries_total", labels)] == len(receiver.posted) - 1
        node.stop()


@pytest.mark.drives("mnedge slo list")
@pytest.mark.drives("mnedge slo show")
@pytest.mark.drives("mnedge alert list")
@pytest.mark.drives("mnedge alert silence")
@pytest.mark.drives("mnedge alert test")
def test_a_person_sees_goals_and_alerts_and_silences_them(box):
    name = "neuron-job-success-rate"
    with Receiver() as receiver:
        box.environ["PAGER_SECRET"] = "of the pager"
        receiver.answer = lambda posted: 500
        node = Node(box, CONFIG.format(url=receiver.url))
        silenced = box.json("alert", "silence", name, "--for", "2h", "--reason", "works")
        assert silenced["until"] > 1_700_000_000
        for number in range(4):
            node.submit("exit 3", f"bad{number}")
        until(lambda: node.get("/api/v1/slo").json()["data"][0]["bad"] == 4)
        assert name in box.call("slo", "list").stdout
        assert "burning" in box.call("slo", "show", name).stdout
        assert "silent until" in box.call("alert", "list").stdout
        assert receiver.posted == []
        box.call("alert", "silence", name, "--for", "0")
        until(lambda: receiver.posted)
        assert "was not sent to pager yet" in box.call("alert", "list").stderr + (
            box.call("alert", "list").stdout
        )
        said = box.call("alert", "test", name, code=1)
        assert "500" in said.stderr
        assert node.get("/api/v1/alerts").json()["data"][0]["silenced_until"] is None
        node.stop()


def test_logs_are_json_with_the_level_that_was_asked_for(box):
    node = Node(box, "trace: {logs: {level: info}}")
    node.stop()
    _, said = node.process.communicate()
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert lines
    assert all({"ts", "level", "component", "message"} <= line.keys() for line in lines)


def test_spans_reach_a_collector_and_one_that_is_away_holds_nobody_up(box):
    with Receiver() as receiver:
        node = Node(box, f"trace: {{otel: {{endpoint: '{receiver.url}'}}}}")
        job_id = id_of(node.submit("true", traceparent=ASKED))
        until(lambda: node.job(job_id)["status"] == "completed")
        until(lambda: receiver.posted)
        content = gzip.decompress(receiver.posted[0].body)
        request = ExportTraceServiceRequest.FromString(content)
        spans = [one for scope in request.resource_spans[0].scope_spans for one in scope.spans]
        assert {one.trace_id.hex() for one in spans} >= {TRACE}
        assert {"job", "attempt worker"} <= {one.name for one in spans}
        receiver.answer = lambda posted: 0
        job_id = id_of(node.submit("true", "more"))
        until(lambda: node.job(job_id)["status"] == "completed")
        began = time.monotonic()
        node.stop()
        assert time.monotonic() - began < 8
        assert node.process.returncode == 0
