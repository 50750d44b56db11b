import pytest
import trio

from mnedge.gateway.rest import idempotency
from mnedge.runtime import jobs
from tests.gateway.rest.bundles import flow

KEY = {"idempotency-key": "0b9f"}


async def post(node, body, **headers):
    return await node.api.post("/api/v1/jobs", json=body, headers=headers or KEY)


async def test_the_same_request_under_one_key_is_done_once_and_answered_the_same(node):
    first = await post(node, flow())
    again = await post(node, flow())
    assert again.status_code == first.status_code == 201
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert len(await jobs.list_jobs(node.rig.store)) == 1


async def test_another_request_under_the_key_is_refused(node):
    await post(node, flow())
    other = await post(node, flow(job_name="other"))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency.mismatch")
    assert len(await jobs.list_jobs(node.rig.store)) == 1


async def test_many_at_once_under_one_key_make_one_job(node):
    statuses = []

    async def one() -> None:
        statuses.append((await post(node, flow())).status_code)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(one)
    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    assert len(await jobs.list_jobs(node.rig.store)) == 1


async def test_equal_requests_of_one_moment_under_other_keys_make_jobs_of_their_own(node):
    answers = [await post(node, flow(), **{"idempotency-key": f"key {n}"}) for n in range(3)]
    assert [one.status_code for one in answers] == [201] * 3
    assert len({one.json()["job_id"] for one in answers}) == 3
    assert len(await jobs.list_jobs(node.rig.store)) == 3


async def test_a_refusal_leaves_the_key_free(node):
    assert (await post(node, {"nodes": []})).status_code == 400
    assert (await post(node, flow())).status_code == 201


async def never_answered(node):
    """Have the store as if the daemon had died before the answer was written down."""
    [row] = await node.rig.store.table.scan(idempotency.ROWS)
    kept = idempotency._decode(row.value)
    lost = idempotency.Kept(digest=kept.digest, at=kept.at)
    await node.rig.store.table.put(row.key, idempotency._encode(lost))


async def test_a_second_try_after_a_crash_finds_the_run_of_a_definition_too(node):
    body = {"manifest": flow(), "definition_id": "daily"}
    await node.api.post("/api/v1/definitions", json=body)

    async def start():
        return await node.api.post("/api/v1/definitions/daily/runs", json={}, headers=KEY)

    first = (await start()).json()["job_id"]
    await never_answered(node)
    again = await start()
    assert (again.status_code, again.json()["job_id"]) == (201, first)
    assert len(await jobs.list_jobs(node.rig.store)) == 1


async def test_a_second_try_after_a_crash_finds_the_job_of_the_first(node):
    first = (await post(node, flow())).json()["job_id"]
    await never_answered(node)
    again = await post(node, flow())
    assert (again.status_code, again.json()["job_id"]) == (201, first)
    assert len(await jobs.list_jobs(node.rig.store)) == 1


async def test_a_key_is_forgotten_after_a_day(node, monkeypatch):
    await post(node, flow())
    monkeypatch.setattr(idempotency, "KEEP_S", 0.0)
    monkeypatch.setattr(idempotency, "PRUNE_S", 0.0)
    await post(node, flow(job_name="other"), **{"idempotency-key": "another"})
    assert len(await node.rig.store.table.scan(idempotency.ROWS)) == 1
    assert len(await jobs.list_jobs(node.rig.store)) == 2


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_is_none_is_refused(node, key):
    answer = await post(node, flow(), **{"idempotency-key": key})
    assert answer.json()["code"] == "idempotency.key_invalid"
