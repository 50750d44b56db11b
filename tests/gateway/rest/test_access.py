import pytest

from mnedge.model.access import Scope
from tests.gateway.backends import client
from tests.gateway.rest.bundles import submitted


@pytest.mark.drives("POST /api/v1/tokens")
@pytest.mark.drives("GET /api/v1/tokens")
@pytest.mark.drives("DELETE /api/v1/tokens/{token_id}")
async def test_tokens_are_made_listed_and_taken_back(node):
    made = await node.post("/tokens", {"name": "ci", "scope": "operate", "ttl_s": 60}, 201)
    assert made["expires_at"] - made["issued_at"] == 60
    [listed] = (await node.get("/tokens"))["data"]
    assert listed["token_id"] == made["token_id"]
    assert "token" not in listed
    [kept] = await node.backend.tokens.list()
    assert (kept.name, kept.scope) == ("ci", Scope.OPERATE)
    async with client(node.backend, listener="http", token=made["token"]) as caller:
        assert (await caller.get("/api/v1/jobs")).status_code == 200
        assert (await caller.get("/api/v1/tokens")).status_code == 403
        gone = await node.api.delete(f"/api/v1/tokens/{made['token_id']}")
        assert gone.json()["revoked"]
        assert (await caller.get("/api/v1/jobs")).status_code == 401
    assert (await node.api.delete("/api/v1/tokens/nothing")).status_code == 404


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "a", "scope": "all"}])
async def test_a_token_that_is_not_given_is_refused(node, body):
    assert (await node.post("/tokens", body, 422))["code"] == "request.invalid"
    assert await node.backend.tokens.list() == []


@pytest.mark.drives("GET /api/v1/audit")
async def test_every_change_is_in_the_audit_record(node):
    job_id = await submitted(node.api)
    await node.post("/tokens", {"name": "ci"}, 201)
    await node.post("/jobs/nothing/cancel", status=404)
    found = (await node.get("/audit"))["data"]
    assert [(one["action"], one["result"]) for one in found] == [
        ("job.cancel", "error"), ("token.create", "allow"), ("job.submit", "allow"),
    ]  # fmt: skip
    assert found[-1]["object"] == f"job/{job_id}"
    assert found[0]["object"] == "job/nothing"
    assert [one.action for one in await node.backend.audit.newest(9)] == [
        one["action"] for one in found
    ]
    only = (await node.get("/audit?action=token."))["data"]
    assert [one["action"] for one in only] == ["token.create"]
    first = await node.get("/audit?limit=2")
    rest = await node.get("/audit", params={"limit": 2, "cursor": first["next"]})
    assert [one["seq"] for one in (*first["data"], *rest["data"])] == [3, 2, 1]
    assert rest["next"] is None
