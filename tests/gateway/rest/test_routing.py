import pytest

from mnedge.gateway.rest.app import ROUTES, application, serves
from mnedge.gateway.rest.routing import Api, Route, _order
from mnedge.model.access import Scope


async def test_what_is_not_there_is_not_found_and_other_methods_are_named(node):
    assert (await node.get("/nothing", 404))["code"] == "http.not_found"
    answer = await node.api.put("/api/v1/jobs", json={})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert answer.json()["code"] == "http.method_not_allowed"


async def test_a_body_of_another_type_is_refused(node):
    answer = await node.api.post(
        "/api/v1/jobs", content=b"a: 1", headers={"content-type": "application/yaml"}
    )
    assert answer.status_code == 415


async def test_a_route_that_takes_no_body_takes_none(node):
    told = await node.post("/definitions/x/archive", {"now": True}, status=422)
    assert told["errors"][0]["path"] == "body.now"


async def test_a_word_in_a_path_goes_before_what_takes_any(node):
    assert "data" in await node.get("/jobs/unfinished")
    assert (await node.get("/blueprints/validate", 404))["code"] == "blueprint.not_found"


async def test_a_body_over_the_limit_is_refused(node, monkeypatch):
    limit = node.backend.config.relay.limits.max_body
    answer = await node.api.post(
        "/api/v1/jobs",
        content=b" " * (limit + 1),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 413


async def test_a_route_cannot_stand_there_twice(node):
    async def work(call):
        raise AssertionError

    route = Route(method="GET", path="/x", work=work, summary="", tag="")
    with pytest.raises(ValueError, match="twice"):
        Api([route, route], node.backend)


def test_whoever_changes_something_needs_more_than_read_and_is_written_down():
    asked = {"POST /api/v1/blueprints/validate", "POST /api/v1/blueprints/{blueprint_id}/validate"}
    for route in ROUTES:
        if route.method == "GET" or route.name in asked:
            assert not route.verb, route.name
        else:
            assert route.scope in (Scope.OPERATE, Scope.ADMIN), route.name
            assert route.verb, route.name
            assert route.noun, route.name


async def test_every_route_says_what_it_is_and_what_it_answers(node):
    assert len({route.name for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        assert route.summary, route.name
        assert route.work.__doc__ or "steered" in repr(route.work) or "dispose" in repr(route.work)
        assert any(status < 400 for status in route.answers), route.name
    assert application(node.backend).routes == ROUTES


def test_fixed_words_are_looked_at_first():
    paths = ["/a/{x}", "/a/b", "/a/{x:path}", "/{y}/b"]
    assert sorted(paths, key=_order) == ["/a/b", "/a/{x}", "/a/{x:path}", "/{y}/b"]


def test_what_belongs_to_the_api_is_known_by_its_path():
    assert serves("/api/v1/jobs")
    assert serves("/metrics")
    assert not serves("/jobs")
