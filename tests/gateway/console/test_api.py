import pytest

from mnedge.gateway.console import api


def test_segments_of_a_path_stay_one_segment():
    assert api.at("jobs", "a/b", "dead-letters", "x?y") == "/jobs/a%2Fb/dead-letters/x%3Fy"


def test_a_refusal_is_read_from_a_problem_and_from_whatever_else_came():
    problem = {"detail": "no", "code": "job.status", "hint": "wait", "errors": [{"path": "a"}, 3]}
    refusal = api.refusal_of(409, problem)
    assert (refusal.message, refusal.code, refusal.hint) == ("no", "job.status", "wait")
    assert refusal.problems == ({"path": "a"},)
    assert api.refusal_of(502, "odd").message == "odd"
    assert api.refusal_of(502, None).message == "no more is known"


def test_what_is_no_json_is_text():
    assert api.decoded(b"") is None
    assert api.decoded(b'{"a": 1}') == {"a": 1}
    assert api.decoded(b"plain \xff") == "plain \ufffd"


async def test_the_api_is_asked_in_the_name_of_whoever_asks_here():
    seen = {}

    async def answering(scope, receive, send):
        seen.update(scope, body=(await receive())["body"])
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b'{"a"', "more_body": True})
        await send({"type": "http.response.body", "body": b": 1}"})

    assert await api.post(_request(answering), "/jobs/a%20b", {"x": 1}, wait=3, no=None) == {"a": 1}
    assert (seen["method"], seen["path"]) == ("POST", "/api/v1/jobs/a b")
    assert seen["raw_path"] == b"/api/v1/jobs/a%20b"
    assert seen["query_string"] == b"wait=3"
    assert seen["state"]["principal"] == "ada"
    assert b"cookie" not in dict(seen["headers"])
    assert seen["body"] == b'{"x":1}'


async def test_a_route_that_is_not_there_is_told_from_a_thing_that_is_not():
    async def answering(scope, receive, send):
        del receive
        code = b"http.not_found" if scope["path"].endswith("/slo") else b"job.not_found"
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b'{"code": "' + code + b'"}'})

    assert await api.get_known(_request(answering), "/slo") is None
    with pytest.raises(api.Refused):
        await api.get_known(_request(answering), "/jobs/x")


def _request(answering):
    from starlette.applications import Starlette
    from starlette.requests import Request

    app = Starlette()
    app.state.api = answering
    return Request(
        {
            "type": "http",
            "app": app,
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": [(b"cookie", b"a=b"), (b"host", b"node")],
            "state": {"principal": "ada"},
        }
    )
