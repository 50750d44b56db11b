import json

import pytest

from tests.gateway.backends import served
from tests.gateway.rest.bundles import over, submitted, working
from tests.gateway.rest.streams import listening


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/logs")
async def test_logs_are_read_page_by_page_with_what_workers_wrote_among_them(node):
    job_id = await submitted(node.api, working())
    await over(node.api, job_id)
    whole = await node.get(f"/jobs/{job_id}/logs")
    [written] = [one for one in whole["data"] if one.get("type") == "worker_output"]
    assert written["stdout"] == "ok"
    assert written["agent_id"] == "worker"
    logged = (node.rig.config.runs_root / job_id / "logs.jsonl").read_text().splitlines()
    assert [one for one in whole["data"] if one is not written] == [
        json.loads(line) for line in logged
    ]
    seen, after = [], "0"
    while page := (await node.get(f"/jobs/{job_id}/logs", params={"after": after, "limit": 3})):
        if not page["data"]:
            break
        seen += page["data"]
        after = page["next"]
    assert seen == whole["data"]
    only = (await node.get(f"/jobs/{job_id}/logs?agent=worker"))["data"]
    assert written in only
    assert len(only) < len(seen)


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/logs/stream")
async def test_logs_are_followed_to_the_end_and_from_any_place(node):
    app = served(node.backend)
    job_id = await submitted(node.api, working())
    path = f"/api/v1/jobs/{job_id}/logs/stream"
    async with listening(app, path) as listener:
        said = await listener.rest()
    assert said[-1].event == "end"
    every = (await node.get(f"/jobs/{job_id}/logs"))["data"]
    assert sorted(_plain(json.loads(one.data)) for one in said[:-1]) == sorted(map(_plain, every))
    for at, one in enumerate(said[:-1]):
        async with listening(app, path, headers={"last-event-id": one.id}) as listener:
            rest = (await listener.rest())[:-1]
        assert sorted(one.data for one in rest) == sorted(one.data for one in said[at + 1 : -1])


def _plain(record):
    return json.dumps(record, sort_keys=True)
