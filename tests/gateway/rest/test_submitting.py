import json

import pytest

from mnedge.bundle.catalogue import BlueprintNotFoundError
from mnedge.gateway.rest.checking import BodyUnreadableError, RequestInvalidError
from mnedge.gateway.rest.submitting import blueprint_of, opened, owned, sent_of
from mnedge.model.access import Scope
from mnedge.runtime import jobs
from mnedge.runtime.jobs import JobExistsError
from tests.gateway.backends import client
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


async def test_the_owner_names_a_folder_and_nobody_else_does(node, tmp_path):
    folder = tmp_path / "mine"
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "default.json").write_text("{}")
    (folder / "manifest.json").write_text(json.dumps(flow()))
    body = {"folder": str(folder), "run_id": "by-place"}
    made = (await node.post("/jobs", body, status=201))["job"]
    assert (made["job_id"], made["bundle_source"]) == ("by-place", str(folder))
    assert (await jobs.read_job(node.rig.store, "by-place")).bundle_source == str(folder)
    assert sent(node, body).place is None
    token = (await node.backend.tokens.issue("ada", Scope.ADMIN)).token
    async with client(node.backend, listener="http", token=token) as over_tcp:
        refused = await over_tcp.post("/api/v1/jobs", json={**body, "run_id": "over-tcp"})
    assert refused.status_code == 400
    assert refused.json()["code"] == "bundle.invalid"
