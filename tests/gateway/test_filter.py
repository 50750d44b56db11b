"""What is refused before anybody is asked who they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.config.settings import Filter as Mode
from mnedge.config.settings import GatewayLimits, Relay
from mnedge.errors import MnedgeError
from mnedge.gateway.connection import Connection, state_of
from mnedge.gateway.filter import Filter, RequestMalformedError, normal_path


class Asked:
    """What the application got to see."""

    def __init__(self) -> None:
        self.scope = None
        self.body = b""


async def ask(
    path=b"/api/v1/jobs",
    method="GET",
    headers=(),
    query=b"",
    pieces=(b"",),
    relay=None,
    blocked=None,
):
    """Return what the application saw, or the code and status of the refusal."""
    seen = Asked()
    left = list(pieces)

    async def receive():
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def app(scope, receive, send):
        seen.scope = scope
        while True:
            message = await receive()
            seen.body += message["body"]
            if not message["more_body"]:
                return

    scope = {
        "type": "http",
        "method": method,
        "path": "/unread",
        "raw_path": path,
        "query_string": query,
        "headers": list(headers),
        "state": state_of(Connection(listener="http", address="10.0.0.1")),
    }
    seen_rules = [] if blocked is None else blocked
    layer = Filter(app, lambda: relay or Relay(), on_blocked=seen_rules.append)
    try:
        await layer(scope, receive, None)
    except MnedgeError as error:
        return error.http_status, error.code
    return seen


@pytest.mark.parametrize(
    "raw, path",
    [
        (b"/", "/"),
        (b"/api/v1/jobs", "/api/v1/jobs"),
        (b"//api//v1/jobs/", "/api/v1/jobs/"),
        (b"/a%20b/%C3%A4", "/a b/ä"),
        (b"/a:b@c+d", "/a:b@c+d"),
        (b"/x/..y/z..", "/x/..y/z.."),
        (b"/%7Eada", "/~ada"),
    ],
)
def test_a_path_is_decoded_once(raw, path):
    assert normal_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"*", b"x", b"http://evil/api/v1/jobs", b"evil:443", b"/a/../b", b"/..", b"/./a"),
        *(b"/a/%2e%2e/b", b"/a/%2E./b", b"/%2e", b"/a%2fb", b"/a%2Fb", b"/a%5cb", b"/a\\b"),
        *(b"/%00", b"/a%0d%0ab", b"/%", b"/%zz", b"/%1", b"/%c0%ae%c0%ae/", b"/%e0%80%af"),
        *(b"/%ff", b"/a#b", b"/%7f", b"/" + b"a" * 5000, b"/%f8%80%80%80%af", b"/%ed%a0%80"),
    ],
)
def test_a_path_that_two_readers_could_take_differently_is_refused(raw):
    with pytest.raises(RequestMalformedError):
        normal_path(raw)


@given(st.binary(max_size=40))
def test_no_bytes_get_past_the_normal_form(tail):
    try:
        path = normal_path(b"/" + tail)
    except RequestMalformedError:
        return
    assert path.startswith("/")
    assert "//" not in path
    assert not {".", ".."} & set(path.split("/"))
    assert path.isprintable() or all(ord(c) >= 0x20 for c in path)


async def test_the_application_sees_the_normal_path_only():
    seen = await ask(b"//api//v1/jobs")
    assert seen.scope["path"] == "/api/v1/jobs"
    assert seen.scope["raw_path"] == b"/api/v1/jobs"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "BREW", "get"])
async def test_a_method_that_is_not_known_is_refused(method):
    assert await ask(method=method) == (405, "relay.method")


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"a\x00b")],
        [(b"x", b"a\nb")],
        [(b"content-length", b"1"), (b"content-length", b"1")],
        [(b"host", b"a"), (b"host", b"b")],
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
        [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"+1")],
        [(b"content-length", b"9" * 30)],
    ],
    ids=repr,
)
async def test_ambiguous_headers_are_refused(headers):
    assert await ask(headers=headers) == (400, "relay.malformed")


async def test_too_many_or_too_large_headers_are_refused():
    assert (await ask(headers=[(b"x%d" % n, b"1") for n in range(101)]))[0] == 431
    assert (await ask(headers=[(b"x", b"y" * 17_000)]))[0] == 431


@pytest.mark.parametrize(
    "headers, status",
    [
        ([(b"content-type", b"application/json")], 200),
        ([(b"content-type", b"application/json; charset=UTF-8")], 200),
        ([(b"content-type", b"application/merge-patch+json")], 200),
        ([(b"content-type", b"application/grpc")], 200),
        ([(b"content-type", b"application/zip")], 200),
        ([], 200),
        ([(b"content-type", b"application/json; charset=utf-16")], 415),
        ([(b"content-type", b"application/xml")], 415),
        ([(b"content-type", b"text/html")], 415),
        ([(b"content-type", b"application/json"), (b"content-encoding", b"gzip")], 415),
    ],
    ids=repr,
)
async def test_kinds_of_bodies(headers, status):
    told = await ask(method="POST", headers=headers)
    assert (200 if isinstance(told, Asked) else told[0]) == status


async def test_a_body_is_bounded_whether_or_not_it_says_how_long_it_is():
    relay = Relay(limits=GatewayLimits(max_body=10))
    long = [(b"content-length", b"11")]
    assert await ask(method="POST", headers=long, relay=relay) == (413, "relay.too_large")
    assert (await ask(method="POST", pieces=[b"12345", b"678901"], relay=relay))[0] == 413
    assert (
        await ask(method="POST", pieces=[b"12345", b"67890"], relay=relay)
    ).body == b"1234567890"


async def test_a_bottomless_document_is_refused_but_only_where_it_is_json():
    kind = [(b"content-type", b"application/json")]
    bomb = [b"[" * 50, b"[" * 50]
    assert await ask(method="POST", headers=kind, pieces=bomb) == (400, "relay.malformed")
    other = [(b"content-type", b"application/octet-stream")]
    assert len((await ask(method="POST", headers=other, pieces=bomb)).body) == 100


async def test_signatures_block_are_logged_or_are_not_looked_at():
    query = b"q=%3Cscript%3Ealert(1)%3C/script%3E"
    blocked = []
    assert await ask(query=query, blocked=blocked) == (403, "relay.blocked")
    detect = Relay(security=Mode(waf="detect"))
    assert isinstance(await ask(query=query, relay=detect, blocked=blocked), Asked)
    assert blocked == ["xss", "xss"]
    disabled = Relay(security=Mode(waf="disabled"))
    assert isinstance(await ask(query=query, relay=disabled, blocked=blocked), Asked)
    assert blocked == ["xss", "xss"]
    assert (await ask(b"/a/../b", relay=disabled))[0] == 400, "what is malformed is refused always"


async def test_prompts_are_never_judged():
    prompt = b"Explain '; DROP TABLE users;-- and <script>alert(1)</script> ${jndi:ldap://x}"
    seen = await ask(
        method="POST", headers=[(b"content-type", b"application/json")], pieces=[prompt]
    )
    assert seen.body == prompt


async def test_credentials_are_not_looked_at():
    seen = await ask(headers=[(b"authorization", b"Bearer <script>"), (b"cookie", b"a=<script>")])
    assert isinstance(seen, Asked)


async def test_a_query_must_be_escaped():
    assert (await ask(query=b"a=b c"))[0] == 400
    assert (await ask(query=b"a=\xff"))[0] == 400
    assert (await ask(query=b"a" * 9000))[0] == 400
