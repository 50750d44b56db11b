import pytest

from tests.gateway.backends import client


@pytest.mark.drives("GET /api/v1/config")
@pytest.mark.drives("POST /api/v1/config/reload")
async def test_the_configuration_is_shown_and_read_again(node):
    told = await node.get("/config")
    assert told["config"]["node"] == node.rig.config.node
    assert await node.post("/config/reload") == {
        "changed": [],
        "needs_restart": [],
        "problems": [],
    }
    assert node.backend.reload.count == 1
    issued = await node.backend.tokens.issue("ops", "operate")
    async with client(node.backend, listener="http", token=issued.token) as caller:
        assert (await caller.post("/api/v1/config/reload")).status_code == 403
    assert node.backend.reload.count == 1
