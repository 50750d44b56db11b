"""The published REST server in front of our gRPC port: its job routes, of both versions."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from mnedge.model.states import JobStatus
from tests.interop.mn_client import Client, until
from tests.interop.mn_node import NAME, Node
from tests.interop.test_mn_client import BLUEPRINTS, a_service

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def api(node, tmp_path_factory):
    """`mn-api`, unmodified, on a port of its own, and a client for it."""
    folder = tmp_path_factory.mktemp("api")
    environ = Client(folder, node.home).environ
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ |= {
        "MN_GRPC_TARGET": node.grpc,
        "MN_API_HOST": "127.0.0.1",
        "MN_API_PORT": str(port),
    }
    log = folder / "api.log"
    with log.open("wb") as told:
        server = subprocess.Popen(
            [str(Path(sys.executable).parent / "mn-api")],
            stdout=told,
            stderr=told,
            env=environ,
            cwd=folder,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=30) as client:

        def healthy() -> bool:
            assert server.poll() is None, log.read_text()[-2000:]
            try:
                return client.get("/v1/health").status_code == 200
            except httpx.TransportError:
                return False

        try:
            until(healthy)
            yield client
        finally:
            server.terminate()
            server.wait(20)


def got(answer: httpx.Response, code: int = 200):
    assert answer.status_code == code, answer.text
    return answer.json()


def a_manifest() -> str:
    return json.dumps(
        {
            "manifest_version": "1.0",
            "graph_id": "hand_over",
            "job_name": "hand-over",
            "nodes": [
                {"node_id": "start", "agent_type": "router", "config": {"emit_type": "go"}},
                {
                    "node_id": "end",
                    "agent_type": "aggregator",
                    "config": {"complete_on_message": True},
                },
            ],
            "edges": [
                {"edge_id": "a", "from_node": "start", "to_node": "end", "message_type": "go"}
            ],
            "entrypoints": ["start"],
            "initial_inputs": {"start": [{"n": 1}]},
        }
    )


@pytest.fixture(scope="module")
def done(node, api) -> str:
    """The id of a job that was submitted there and has ended."""
    sent = {"manifest_json": a_manifest(), "payloads": {"note.txt": "hello"}}
    told = got(api.post("/v1/jobs", json=sent))
    assert told["status"] == "pending"
    assert node.ended(told["job_id"]).status is JobStatus.COMPLETED
    return str(told["job_id"])


def test_the_node_is_seen_through_it(api):
    assert got(api.get("/v1/system/summary"))["nodes"][0]["name"] == f"mnedge@{NAME}"
    assert got(api.get("/v1/nodes"))
    assert got(api.get("/v1/resource"))["totals"]["cpu_cores"] >= 1


def test_a_job_that_was_submitted_there_is_listed_and_shown(api, done):
    assert done in [row["job_id"] for row in got(api.get("/v1/jobs"))["data"]]
    assert got(api.get("/v1/jobs/unfinished"))["data"] == []
    assert got(api.get(f"/v1/jobs/{done}"))["job"]["status"] == "completed"
    whole = got(api.get(f"/v1/jobs/{done}", params={"include": "full"}))
    assert {agent["agent_id"] for agent in whole["agents"]} == {"start", "end"}
    assert whole["job"]["result"]


def test_its_events_progress_and_graph_are_shown(api, done):
    events = got(api.get(f"/v1/jobs/{done}/events"))["data"]
    assert events[0]["type"] == "job_pending"
    assert "job_completed" in {event["type"] for event in events}
    told = [event for event in events if "timestamp" in event]  # the others are from the run folder
    assert len({(event["timestamp"], event["message_id"]) for event in told}) == len(told)
    assert got(api.get(f"/v1/jobs/{done}/workflow-progress"))["status"] == "completed"
    graph = got(api.get(f"/v1/jobs/{done}/agent-graph"))
    assert {node["id"] for node in graph["nodes"]} >= {"start", "end"}
    assert ("start", "end") in {(edge["source"], edge["target"]) for edge in graph["edges"]}
    assert got(api.get(f"/v1/jobs/{done}/dead-letters"))["data"] == []
    with api.stream("GET", f"/v1/jobs/{done}/workflow-progress/stream") as stream:
        assert next(stream.iter_lines()) == "event: snapshot"


def test_its_run_folder_is_read_there(api, done):
    assert done in json.dumps(got(api.get("/v1/runs")))
    assert got(api.get(f"/v1/runs/{done}/final-artifact"))
    assert "result.json" in json.dumps(got(api.get(f"/v1/runs/{done}/artifacts")))


def test_what_is_wrong_is_told_with_the_right_status(node, api):
    assert got(api.get("/v1/jobs/nobody", params={"include": "full"}), 404)
    before = len(node.jobs())
    got(api.post("/v1/jobs", json={"manifest_json": json.dumps({"nodes": []})}), 422)
    assert len(node.jobs()) == before


def test_a_job_is_paused_resumed_and_cancelled_there(node, api, tmp_path):
    folder = a_service(tmp_path / "slow")
    manifest = (folder / "manifest.json").read_text()
    payloads = {"worker/note.txt": "here"}
    told = got(api.post("/v1/jobs", json={"manifest_json": manifest, "payloads": payloads}))
    job_id = told["job_id"]
    until(lambda: node.job(job_id).status is JobStatus.RUNNING)
    for verb, status in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert got(api.post(f"/v1/jobs/{job_id}/{verb}"))["status"] == status
        assert node.job(job_id).status == status


def test_definitions_and_their_runs_have_routes_too(node, api):
    folder = BLUEPRINTS / "message_routing_trace"
    sent = {
        "manifest_json": (folder / "manifest.json").read_text(),
        "payloads": {},
        "job_id": "trace-api",
        "resolved_configuration": json.loads((folder / "config" / "default.json").read_text()),
    }
    assert got(api.post("/v2/jobs", json=sent))["job_id"] == "trace-api"
    assert "trace-api" in json.dumps(got(api.get("/v2/jobs")))
    told = got(api.post("/v2/jobs/trace-api/runs", json={"run_id": "trace-api-run", "inputs": {}}))
    assert told["run_id"] == "trace-api-run"
    record = node.ended("trace-api-run")
    assert (record.status, record.definition_id) == (JobStatus.COMPLETED, "trace-api")
    assert "trace-api-run" in json.dumps(got(api.get("/v2/jobs/trace-api/runs")))
    assert got(api.get("/v2/runs/trace-api-run"))["run_id"] == "trace-api-run"
    got(api.post("/v2/jobs/trace-api/archive"))
    assert node.definitions()["trace-api"].status == "archived"
