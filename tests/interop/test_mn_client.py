"""The published client, unmodified, drives a real daemon; what it did is looked up in the store."""

import json
import re
import shutil
from pathlib import Path

import pytest

from mnedge.model.states import JobStatus
from tests.conftest import ROOT
from tests.interop.mn_client import Client, until
from tests.interop.mn_node import NAME, Node

pytestmark = pytest.mark.live

BLUEPRINTS = ROOT / "blueprints"
FIVE = [
    "message_routing_trace",  # generation A, routers only
    "text_report_pipeline",  # generation A, workers of two languages
    "cold_store_check",  # generation C, three steps at once
    "picture_sync",  # generation C, a step that calls the rest off
    "sample_triage",  # generation C, a branch
]
V1 = "mirrorneuron.job.v1.JobService"
V2 = "mirrorneuron.job.v2.JobService"
CLUSTER = "mirrorneuron.cluster.v1.ClusterService"
OPERATIONS = "mirrorneuron.operations.v1.OperationsService"
EVENTS = "mirrorneuron.observability.v1.ObservabilityService/StreamEvents"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def mn(node, tmp_path_factory):
    """The client on the node's own machine, with the node's MN_HOME, as it is by default."""
    client = Client(tmp_path_factory.mktemp("client"), node.home)
    client.environ |= {"MN_GRPC_TARGET": node.grpc, "MN_API_BASE_URL": node.api}
    return client


def run_id_of(told: str) -> str:
    return re.search(r"Job ID: +(\S+)", told)[1]


def a_service(folder: Path, seconds: str = "60") -> Path:
    """Return a bundle whose only worker takes that long."""
    return a_bundle(folder, ["sh", "-c", f"sleep {seconds}; echo done"])


def a_bundle(folder: Path, command, payloads=None, **config) -> Path:
    (folder / "payloads" / "worker").mkdir(parents=True)
    (folder / "config").mkdir()
    (folder / "config" / "default.json").write_text("{}")
    for name, content in (payloads or {"note.txt": b"here"}).items():
        (folder / "payloads" / "worker" / name).write_bytes(content)
    worker = {
        "runner_module": "MirrorNeuron.Runner.HostLocal",
        "upload_path": "worker",
        "upload_as": "worker",
        "command": command,
        "output_message_type": "done",
        **config,
    }
    manifest = {
        "manifest_version": "1.0",
        "graph_id": folder.name,
        "job_name": folder.name,
        "nodes": [
            {"node_id": "start", "agent_type": "router", "config": {"emit_type": "go"}},
            {"node_id": "worker", "agent_type": "executor", "config": worker},
            {"node_id": "end", "agent_type": "aggregator", "config": {"complete_on_message": True}},
        ],
        "edges": [
            {"edge_id": "a", "from_node": "start", "to_node": "worker", "message_type": "go"},
            {"edge_id": "b", "from_node": "worker", "to_node": "end", "message_type": "done"},
        ],
        "entrypoints": ["start"],
        "metadata": {"blueprint_id": folder.name},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


# ---- the node ----


@pytest.mark.drives(f"{CLUSTER}/GetSystemSummary")
def test_the_client_lists_the_node(node, mn):
    (told,) = mn.json("node", "list")["nodes"]
    assert told["name"] == f"mnedge@{NAME}"
    assert told["self?"] is True
    assert told["coordination_store"]["writable_primary"] is True


def test_a_bare_client_finds_the_node_by_the_files_in_their_home(node, mn):
    told = mn.json("node", "list", MN_GRPC_TARGET="")
    assert told["nodes"][0]["name"] == f"mnedge@{NAME}"


def test_the_runtime_is_healthy(mn):
    assert "core_grpc" in mn.call("runtime", "health")


@pytest.mark.drives(f"{CLUSTER}/GetResource")
def test_resources_are_listed(mn):
    assert mn.json("resource", "list")["totals"]["cpu_cores"] >= 1


def test_a_wrong_token_is_refused(mn):
    told = mn.call("job", "list", code=13, MN_GRPC_AUTH_TOKEN="no-such-token")
    assert "MN_PERMISSION_DENIED" in told


def test_a_job_that_is_not_there_is_told(mn):
    assert "MN_NOT_FOUND" in mn.call("job", "status", "nobody", code=2)


# ---- blueprints ----


@pytest.mark.drives(f"{V2}/CreateJob")
@pytest.mark.drives(f"{V2}/StartRun")
@pytest.mark.drives(EVENTS)
@pytest.mark.parametrize("blueprint", FIVE)
def test_a_blueprint_runs_to_its_end(node, mn, blueprint):
    told = mn.call("blueprint", "run", "--folder", str(BLUEPRINTS / blueprint))
    assert re.search(r"Status: +Completed", told), told
    record = node.job(run_id_of(told))
    assert record.status is JobStatus.COMPLETED
    assert record.blueprint_id == blueprint
    assert record.submitted_by
    definition = node.definitions()[record.definition_id]
    assert definition.bundle_digest == record.bundle_digest
    folder = node.config.runs_root / record.job_id
    for name in ("result.json", "final_artifact.json", "config.json", "timeline.jsonl"):
        assert (folder / name).stat().st_size > 0
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    numbers = [event["seq"] for event in events if "seq" in event]
    assert numbers == list(range(1, len(numbers) + 1))
    assert json.loads((folder / "run.json").read_text())["status"] == "completed"


@pytest.fixture(scope="module")
def done(node, mn) -> str:
    """The run id of a blueprint that has ended."""
    folder = BLUEPRINTS / "cold_store_check"
    return run_id_of(mn.call("blueprint", "run", "--folder", str(folder)))


@pytest.mark.drives(f"{V1}/ListJobs")
@pytest.mark.drives(f"{V1}/GetJob")
def test_a_job_is_listed_shown_and_its_result_fetched(node, mn, done):
    assert done in mn.call("job", "list")
    shown = mn.json("job", "status", done)
    assert shown["job"]["status"] == "completed"
    assert shown["job"]["definition_id"] == node.job(done).definition_id
    told = mn.call("job", "result", done)
    result = Path(re.search(r"Final result: +(\S+)", told)[1])
    assert "verdict" in result.read_text()
    assert mn.json("job", "dead-letters", done)["data"] == []


def test_a_run_is_monitored_tailed_and_exported_from_its_folder(mn, done):
    assert done in mn.call("blueprint", "monitor")
    assert "job_completed" in mn.call("blueprint", "tail", done, "--lines", "50")
    told = mn.json("blueprint", "export", done, "--format", "json")
    assert told["run"]["status"] == "completed"
    assert told["final_artifact"]
    assert "job_completed" in mn.call("blueprint", "stream", done)
    assert "Judge" in mn.call("job", "monitor", done)


def test_a_client_with_another_home_gets_the_run_folder_too(node, tmp_path):
    away = Client(tmp_path, tmp_path / "mn")
    token = (node.home / "grpc_auth.token").read_text()
    away.environ |= {"MN_GRPC_TARGET": node.grpc, "MN_GRPC_AUTH_TOKEN": token}
    told = away.call("blueprint", "run", "--folder", str(BLUEPRINTS / "message_routing_trace"))
    run_id = run_id_of(told)
    assert "Materialized shared outputs" in told
    copied = away.mn_home / "runs" / run_id
    assert json.loads((copied / "run.json").read_text())["run_id"] == run_id
    assert (copied / "final_artifact.json").exists()
    assert away.json("blueprint", "export", run_id, "--format", "json")["final_artifact"]
    assert node.job(run_id).run_folder == str(node.config.runs_root / run_id)


def test_a_payload_that_is_too_large_for_the_request_arrives_all_the_same(node, mn, tmp_path):
    content = bytes(range(256)) * 6000
    command = ["sh", "-c", "wc -c < worker/large.bin"]
    folder = a_bundle(tmp_path / "large_payload", command, {"large.bin": content})
    told = mn.call("blueprint", "run", "--folder", str(folder))
    record = node.job(run_id_of(told))
    assert record.status is JobStatus.COMPLETED
    assert str(len(content)) in json.dumps(record.result)


def test_what_the_client_says_about_runs_and_folders_does_not_reach_the_worker(node, mn, tmp_path):
    command = ["sh", "-c", "env | grep '^MN_' | sort > $MN_JOB_OUTPUT_DIR/told.txt"]
    folder = a_bundle(tmp_path / "told", command)
    first = run_id_of(mn.call("blueprint", "run", "--folder", str(folder)))
    definition = node.job(first).definition_id
    mn.call("job", "start", definition, "--run-id", "told-again")
    assert node.ended("told-again").status is JobStatus.COMPLETED
    for run_id in (first, "told-again"):
        run = node.config.runs_root / run_id
        lines = (run / "outputs" / "told.txt").read_text().splitlines()
        told = dict(line.split("=", 1) for line in lines)
        assert told["MN_RUN_ID"] == told["MN_JOB_ID"] == run_id
        assert told["MN_RUNS_ROOT"] == str(node.config.runs_root)
        assert told["MN_JOB_DATA_DIR"].startswith(str(node.config.data_dir))
        assert run_id in told["MN_BLUEPRINT_CONFIG_JSON"]
        assert not told["MN_ATTEMPT_ID"].startswith(first)


# ---- jobs that run ----


@pytest.mark.drives(f"{V1}/PauseJob")
@pytest.mark.drives(f"{V1}/ResumeJob")
@pytest.mark.drives(f"{V1}/CancelJob")
@pytest.mark.drives(f"{V2}/GetRun")
@pytest.mark.drives(f"{V2}/PauseRun")
@pytest.mark.drives(f"{V2}/ResumeRun")
def test_a_detached_run_is_paused_resumed_and_cancelled(node, mn, tmp_path):
    folder = a_service(tmp_path / "slow")
    told = mn.call("blueprint", "run", "--folder", str(folder), "--detached")
    run_id = run_id_of(told)
    until(lambda: node.job(run_id).status is JobStatus.RUNNING)
    assert run_id in mn.call("job", "unfinished")
    mn.call("job", "pause", run_id)
    assert node.job(run_id).status is JobStatus.PAUSED
    assert mn.json("run", "status", run_id)["status"] == "paused"
    mn.call("job", "resume", run_id)
    assert node.job(run_id).status is JobStatus.RUNNING
    assert mn.json("run", "pause", run_id)["status"] == "paused"
    assert mn.json("run", "resume", run_id)["status"] == "running"
    mn.call("job", "cancel", run_id)
    record = node.job(run_id)
    assert record.status is JobStatus.CANCELLED
    mn.call("job", "cancel", run_id, code=1)  # it is over


def test_a_person_approves_through_the_client_and_the_run_goes_on(node, mn, tmp_path):
    folder = tmp_path / "setting_rollout"
    shutil.copytree(BLUEPRINTS / "setting_rollout", folder)
    path = folder / "config" / "default.json"
    config = json.loads(path.read_text())
    config["human_control"]["timeout_seconds"] = 120
    path.write_text(json.dumps(config))
    run_id = run_id_of(mn.call("blueprint", "run", "--folder", str(folder), "--detached"))
    until(lambda: node.job(run_id).waiting_for_human)
    asked = mn.json("blueprint", "human", run_id, "--pending", COLUMNS="4000")
    request = asked["payload"]["request_id"]
    mn.call("blueprint", "human", "respond", run_id, request, "--decision", "approve")
    record = node.ended(run_id)
    assert record.status is JobStatus.COMPLETED
    log = (node.config.runs_root / run_id / "human.jsonl").read_text()
    applied = [json.loads(line) for line in log.splitlines() if "human_decision_applied" in line]
    assert [event["payload"]["decision"] for event in applied] == ["approve"]


@pytest.mark.drives(f"{V1}/SubmitJob")
def test_a_manifest_alone_is_submitted(node, mn, tmp_path):
    manifest = {
        "manifest_version": "1.0",
        "graph_id": "hand_over",
        "job_name": "hand-over",
        "nodes": [
            {"node_id": "start", "agent_type": "router", "config": {"emit_type": "go"}},
            {"node_id": "end", "agent_type": "aggregator", "config": {"complete_on_message": True}},
        ],
        "edges": [{"from_node": "start", "to_node": "end", "message_type": "go"}],
        "entrypoints": ["start"],
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    run_id = run_id_of(mn.call("job", "submit", str(path)))
    assert node.ended(run_id).status is JobStatus.COMPLETED
    path.write_text(json.dumps(manifest | {"entrypoints": ["nobody"]}))
    assert "MN_INVALID_ARGUMENT" in mn.call("job", "submit", str(path), code=2)


@pytest.mark.drives(f"{V2}/ListJobs")
@pytest.mark.drives(f"{V2}/GetJob")
@pytest.mark.drives(f"{V2}/ListRuns")
@pytest.mark.drives(f"{V2}/ArchiveJob")
@pytest.mark.drives(f"{V2}/ResetJobData")
@pytest.mark.drives(f"{V2}/DeleteJob")
@pytest.mark.drives(f"{V2}/UpdateJob")
@pytest.mark.drives(f"{V2}/DeleteRun")
def test_a_definition_is_created_started_archived_and_deleted(node, mn, tmp_path, docker):
    folder = BLUEPRINTS / "message_routing_trace"
    config = str(folder / "config" / "default.json")
    mn.call("job", "create", str(folder), "--job-id", "trace-1", "--config", config)
    assert node.definitions()["trace-1"].configuration["mode"] == "mock"
    assert "trace-1" in mn.call("job", "definitions")
    assert mn.json("job", "inspect", "trace-1")["status"] == "active"

    inputs = tmp_path / "inputs.json"
    inputs.write_text(json.dumps({"request": "from a file"}))
    mn.call("job", "start", "trace-1", "--run-id", "trace-run", "--inputs", str(inputs))
    record = node.ended("trace-run")
    assert (record.status, record.definition_id) == (JobStatus.COMPLETED, "trace-1")
    assert node.spec("trace-run").inputs == {"request": "from a file"}
    (row,) = mn.json("job", "runs", "trace-1")["data"]
    assert (row["run_id"], row["status"]) == ("trace-run", "completed")

    told = mn.call("blueprint", "run", "--folder", str(folder), "--job-id", "trace-1")
    second = node.job(run_id_of(told))
    assert (second.status, second.definition_id) == (JobStatus.COMPLETED, "trace-1")
    assert node.definitions()["trace-1"].version == 2

    mn.call("job", "reset-data", "trace-1", "-y")
    assert node.definitions()["trace-1"].data_generation == 2
    mn.call("run", "delete", "trace-run", "-y")
    assert "trace-run" not in [record.job_id for record in node.jobs()]
    mn.call("job", "archive", "trace-1")
    assert node.definitions()["trace-1"].status == "archived"
    assert "MN_FAILED_PRECONDITION" in mn.call("job", "start", "trace-1", code=1)
    mn.call("job", "delete", "trace-1", "-y", **docker)
    assert "trace-1" not in node.definitions()


@pytest.fixture
def docker(mn, tmp_path):
    """A Docker that has nothing: the client's own cleaning up asks for one."""
    tool = tmp_path / "bin" / "docker"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nexit 0\n")
    tool.chmod(0o755)
    return {"PATH": f"{tool.parent}:{mn.environ['PATH']}"}


@pytest.mark.drives(f"{OPERATIONS}/StartOperation")
@pytest.mark.drives(f"{OPERATIONS}/GetOperation")
@pytest.mark.drives(f"{OPERATIONS}/StreamOperationEvents")
def test_all_jobs_are_cancelled_and_then_cleared(node, mn, tmp_path, docker):
    folder = a_service(tmp_path / "many")
    started = [
        run_id_of(mn.call("blueprint", "run", "--folder", str(folder), "--detached"))
        for _ in range(2)
    ]
    told = mn.call("job", "cancel-all", "-y")
    operation = re.search(r"Operation ID: +(\S+)", told)[1]
    assert {node.job(run_id).status for run_id in started} == {JobStatus.CANCELLED}
    shown = mn.json("operation", "status", operation)
    assert (shown["status"], shown["counters"]["failed"]) == ("completed", 0)
    mn.call("operation", "watch", operation)
    assert "completed" in mn.call("job", "clear", "-y", **docker)
    assert node.jobs() == []
