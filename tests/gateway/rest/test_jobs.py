import json

import msgspec
import pytest

from mnedge.model.facts import Outcome
from mnedge.model.states import JobStatus, OutcomeStatus
from mnedge.runtime import jobs
from tests.gateway.rest.bundles import archive, flow, over, reached, submitted, working
from tests.runtime import rig


@pytest.mark.drives("POST /api/v1/jobs")
async def test_a_manifest_becomes_a_job_that_this_node_owns_and_runs(node):
    answer = await node.api.post("/api/v1/jobs", json=flow())
    assert answer.status_code == 201
    told = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{told['job_id']}"
    assert told["id"] == told["job_id"] == told["job"]["job_id"]
    record = await jobs.read_job(node.rig.store, told["job_id"])
    assert record.submitted_by.startswith("uid:")
    found = await over(node.api, told["job_id"])
    assert found["job"]["status"] == "completed"


@pytest.mark.parametrize(
    "body",
    [
        {"manifest": flow(), "payloads": {"a.txt": "x", "b.bin": {"base64": "AAE="}}},
        {"manifest_json": json.dumps(flow()), "payloads": {"a.txt": "x"}},
        {"manifest": flow(), "inputs": {"gauge": 3}, "config": {"logging": {"level": "DEBUG"}}},
        {"blueprint": "message_routing_trace", "run_id": "mine-1"},
    ],
    ids=["parts", "text", "inputs", "blueprint"],
)
async def test_a_job_may_be_sent_in_each_form(node, body):
    job_id = await submitted(node.api, body)
    assert job_id == body.get("run_id", job_id)
    found = await over(node.api, job_id)
    assert found["job"]["status"] == "completed"
    spec = await jobs.read_spec(node.rig.store, job_id)
    if "inputs" in body:
        assert spec.inputs == {"gauge": 3}
        assert spec.config["logging"]["level"] == "DEBUG"


@pytest.mark.parametrize("root", ["", "sent/"])
async def test_an_archive_is_a_bundle_too(node, root):
    packed = archive(
        {
            f"{root}manifest.json": json.dumps(flow()).encode(),
            f"{root}config/default.json": b"{}",
            f"{root}payloads/a.txt": b"x",
        }
    )
    answer = await node.api.post(
        "/api/v1/jobs", content=packed, headers={"content-type": "application/zip"}
    )
    assert answer.status_code == 201, answer.text
    found = await over(node.api, answer.json()["job_id"])
    assert found["job"]["status"] == "completed"


@pytest.mark.parametrize(
    "packed",
    [b"PK", archive({"../x": b""}), archive({"manifest.json": b"\0" * (40 << 20)})],
    ids=["torn", "path", "empty"],
)
async def test_an_archive_that_cannot_be_unpacked_makes_no_job(node, packed):
    answer = await node.api.post(
        "/api/v1/jobs", content=packed, headers={"content-type": "application/zip"}
    )
    assert answer.status_code == 400
    assert answer.json()["code"].startswith("bundle.")
    assert await jobs.list_jobs(node.rig.store) == []


async def test_everything_wrong_with_a_bundle_is_told_at_once_and_no_job_is_made(node):
    told = await node.post("/jobs", {"nodes": [{"agent_type": "nothing"}]}, status=400)
    assert told["code"] == "bundle.invalid"
    assert len(told["errors"]) > 2
    assert await jobs.list_jobs(node.rig.store) == []


@pytest.mark.parametrize(
    "body, status, code",
    [
        ({"blueprint": "/etc"}, 404, "blueprint.not_found"),
        ({"blueprint": "message_routing_trace", "run_id": "../x"}, 400, "job.id_invalid"),
        ({"blueprint": "message_routing_trace", "run_id": "last"}, 400, "job.id_invalid"),
        ({"manifest": flow(), "payload": {}}, 422, "request.invalid"),
        ({"manifest_json": "{"}, 422, "request.invalid"),
        ({"manifest": flow(), "payloads": {"a": {"base64": "?"}}}, 422, "request.invalid"),
        ({"manifest": flow(), "payloads": {"../a": ""}}, 400, "bundle.invalid"),
        ([], 422, "request.invalid"),
    ],
)
async def test_what_cannot_be_submitted_is_refused_by_name(node, body, status, code):
    assert (await node.post("/jobs", body, status=status))["code"] == code
    assert await jobs.list_jobs(node.rig.store) == []


async def test_a_run_id_is_taken_once(node):
    body = {"blueprint": "message_routing_trace", "run_id": "once"}
    await submitted(node.api, body)
    assert (await node.post("/jobs", body, status=409))["code"] == "job.exists"
    await over(node.api, "once")
    assert (await node.post("/jobs", body, status=409))["code"] == "job.exists"


async def test_the_trace_of_the_request_goes_into_the_job(node):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await node.api.post("/api/v1/jobs", json=flow(), headers={"traceparent": parent})
    record = await jobs.read_job(node.rig.store, answer.json()["job_id"])
    assert record.trace_parent == parent
    other = await node.api.post("/api/v1/jobs", json=flow(), headers={"traceparent": "nonsense"})
    record = await jobs.read_job(node.rig.store, other.json()["job_id"])
    assert record.trace_parent == ""


@pytest.mark.drives("GET /api/v1/jobs")
async def test_jobs_are_listed_page_by_page_though_others_come_meanwhile(node):
    ids = [await submitted(node.api) for _ in range(5)]
    for job_id in ids:
        await over(node.api, job_id)
    first = await node.get("/jobs?limit=2")
    assert len(first["data"]) == 2
    newer = await submitted(node.api)
    await over(node.api, newer)
    seen = [one["job_id"] for one in first["data"]]
    cursor = first["next"]
    while cursor:
        page = await node.get("/jobs", params={"limit": 2, "cursor": cursor})
        seen += [one["job_id"] for one in page["data"]]
        cursor = page["next"]
    assert sorted(seen) == sorted(ids)
    assert len(set(seen)) == 5


async def test_jobs_are_listed_by_status_and_blueprint(node):
    done = await submitted(node.api)
    await over(node.api, done)
    assert [one["job_id"] for one in (await node.get("/jobs?status=completed,failed"))["data"]] == [
        done
    ]
    assert (await node.get("/jobs?status=failed"))["data"] == []
    assert (await node.get("/jobs?running=true"))["data"] == []
    assert (await node.get("/jobs?include_terminal=false"))["data"] == []
    assert (await node.get("/jobs?blueprint=another"))["data"] == []


@pytest.mark.drives("GET /api/v1/jobs/unfinished")
async def test_unfinished_jobs_are_those_that_are_not_over(node):
    held = node.rig.executor

    async def never(command):
        import trio

        await trio.sleep_forever()

    held.work["worker"] = never
    job_id = await submitted(node.api, working())
    await over(node.api, await submitted(node.api))
    await reached(node.api, job_id, "running")
    assert [one["job_id"] for one in (await node.get("/jobs/unfinished"))["data"]] == [job_id]


@pytest.mark.drives("GET /api/v1/jobs/{job_id}")
async def test_a_job_is_shown_with_all_that_is_known_of_it(node):
    job_id = await submitted(node.api)
    found = await over(node.api, job_id)
    assert {agent["agent_id"] for agent in found["agents"]} == {"start", "end"}
    assert found["events"] == (await jobs.read_job(node.rig.store, job_id)).events
    assert found["recent_events"][0]["type"] == "run_completed"
    assert found["summary"]["status"] == "completed"
    assert found["workflow"] == found["workflow_state"]
    assert found["resource_usage"] == {}
    assert (await node.get("/jobs/last"))["job"]["job_id"] == job_id
    assert (await node.get(f"/jobs/{job_id[:6]}"))["job"]["job_id"] == job_id
    compact = await node.get(f"/jobs/{job_id}?include=compact")
    assert compact["agents"] == []


async def test_an_unknown_job_is_not_found_and_near_ones_are_named(node):
    job_id = await submitted(node.api, {"manifest": flow(), "run_id": "morning"})
    told = await node.get("/jobs/mornimg", status=404)
    assert told["code"] == "job.not_found"
    assert job_id in told["hint"]


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/steps")
async def test_steps_are_listed_in_order(node):
    await rig.submitted(node.rig, rig.two_steps(), "steps")
    await over(node.api, "steps")
    steps = (await node.get("/jobs/steps/steps"))["data"]
    assert [step["status"] for step in steps] == ["completed", "completed"]
    assert [step["id"] for step in steps] == ["fetch", "clean"]


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/agents")
async def test_agents_are_listed(node):
    job_id = await submitted(node.api)
    await over(node.api, job_id)
    agents = (await node.get(f"/jobs/{job_id}/agents"))["data"]
    assert [agent["agent_id"] for agent in agents] == ["start", "end"]
    assert [agent["processed_messages"] for agent in agents] == [1, 1]


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/result")
async def test_the_result_of_a_completed_job_is_read_and_there_is_none_before(node):
    async def failed(command):
        return Outcome(status=OutcomeStatus.FAILED, error={"error": "no"})

    node.rig.executor.work["worker"] = failed
    done = await submitted(node.api)
    await over(node.api, done)
    told = await node.get(f"/jobs/{done}/result")
    record = await jobs.read_job(node.rig.store, done)
    assert told["status"] == "completed"
    assert told["result"] == record.result["output"]
    bad = await submitted(node.api, working(max_attempts=1))
    await over(node.api, bad)
    assert (await jobs.read_job(node.rig.store, bad)).status is JobStatus.FAILED
    assert (await node.get(f"/jobs/{bad}/result", status=409))["code"] == "job.no_result"


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/graph")
async def test_the_graph_is_told_or_drawn(node):
    job_id = await submitted(node.api)
    graph = await node.get(f"/jobs/{job_id}/graph")
    assert [box["id"] for box in graph["nodes"]] == ["start", "end"]
    assert len(graph["edges"]) == 1
    drawn = await node.api.get(f"/api/v1/jobs/{job_id}/graph?format=svg")
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.text.startswith("<svg")
    assert (await node.get(f"/jobs/{job_id}/graph?kind=steps"))["nodes"] == []


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/agent-graph")
async def test_the_graph_of_agents_tells_what_they_did(node):
    job_id = await submitted(node.api)
    await over(node.api, job_id)
    graph = await node.get(f"/jobs/{job_id}/agent-graph")
    assert [box["processed_messages"] for box in graph["nodes"]] == [1, 1]
    assert graph["stats"] == {"nodes": 2, "edges": 1}


async def test_a_disk_that_refuses_is_told_by_its_name_and_nothing_is_kept(node, tmp_path):
    (tmp_path / "file").write_text("")
    roots = {"runs_root": tmp_path / "file" / "runs"}
    node.rig.config = msgspec.structs.replace(node.rig.config, **roots)
    answer = await node.api.post("/api/v1/jobs", json=flow())
    assert answer.status_code == 503
    assert answer.json()["code"] == "store.io_error"
    assert int(answer.headers["retry-after"]) > 0
    assert await jobs.list_jobs(node.rig.store) == []
