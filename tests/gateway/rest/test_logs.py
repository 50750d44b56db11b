import json
from collections import deque

import pytest

from mnedge.gateway.rest.logs import PIECE_BYTES, pieces_of
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


def test_what_a_reader_is_sent_comes_in_small_pieces_however_large_a_record_is():
    marked = [(f"1.{n}", {"agent_id": "a", "stdout": "x" * 150_000}) for n in range(3)]
    other = ("1.9", {"agent_id": "b"})
    pieces = pieces_of([*marked, other], "a")
    assert max(len(piece) for piece in pieces) == PIECE_BYTES
    events = b"".join(pieces).split(b"\n\n")
    assert [event.split(b"\n")[0] for event in events[:-1]] == [b"id: 1.0", b"id: 1.1", b"id: 1.2"]
    assert pieces_of([other], "a") == deque()
