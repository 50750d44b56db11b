import json

import pytest

from mnedge.bundle.catalogue import BlueprintNotFoundError
from mnedge.gateway.rest.checking import BodyUnreadableError, RequestInvalidError
from mnedge.gateway.rest.submitting import blueprint_of, opened, owned, sent_of
from mnedge.runtime import jobs
from mnedge.runtime.jobs import JobExistsError
from tests.gateway.rest.bundles import archive, flow, submitted


def sent(node, body, media="application/json"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return sent_of(node.backend, content, media)


async def test_each_form_of_a_body_is_told_from_the_others(node):
    assert sent(node, flow()).manifest == flow()
    assert sent(node, {"manifest": {"a": 1}}).manifest == {"a": 1}
    assert sent(node, {"manifest_json": '{"a":1}', "payloads": {"x": "y"}}).payloads == {"x": b"y"}
    assert sent(node, {"blueprint": "message_routing_trace"}).blueprint is not None
    assert sent(node, b"PK", "application/zip").archive == b"PK"
    odd = {"blueprint": "a member of somebody's manifest", "nodes": []}
    assert sent(node, odd).manifest == odd


@pytest.mark.parametrize("body", [[], "x", {"manifest_json": "["}, {"manifest_json": "[]"}])
async def test_what_is_no_body_is_refused(node, body):
    with pytest.raises(RequestInvalidError):
        sent(node, body)
    with pytest.raises(BodyUnreadableError):
        sent(node, b"{")


async def test_a_path_is_no_blueprint(node):
    for name in ("/etc", "../blueprints/message_routing_trace", "."):
        with pytest.raises(BlueprintNotFoundError):
            blueprint_of(node.backend, name)


async def test_an_archive_leaves_nothing_behind(node, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    content = archive({"manifest.json": json.dumps(flow()).encode(), "config/default.json": b"{}"})
    before = set(tmp_path.iterdir())
    async with opened(node.backend, sent(node, content, "application/zip")) as bundle:
        assert bundle.blueprint_id == "sent"
    assert set(tmp_path.iterdir()) == before


async def test_a_submission_that_comes_to_nothing_owns_nothing(node):
    async def fails(own):
        await own("nothing")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await owned(node.backend, fails)
    assert await node.rig.store.claims.holder(jobs.JOBS + "nothing") is None
    job_id = await submitted(node.api)

    async def again(own):
        await own(job_id)

    with pytest.raises(JobExistsError):
        await owned(node.backend, again)
