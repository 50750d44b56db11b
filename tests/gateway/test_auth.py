"""Who asks, what they may, and what a page of another site cannot make a browser do."""

import os

import pytest
import trio

from mnedge.gateway import auth
from mnedge.gateway.auth import (
    COOKIE,
    CrossSiteError,
    Gate,
    Recognition,
    principal_of,
    refusal_of,
    require,
)
from mnedge.gateway.connection import Connection, state_of
from mnedge.identity.refusals import ScopeTooSmallError, TokenInvalidError, TokenMissingError
from mnedge.model.access import Principal, Scope

GOOD = "good-token"
TCP = Connection(listener="http", address="10.0.0.1")
OWN_UID = 4242


class Known:
    """Knows one token."""

    taken_back = False

    async def verify(self, text):
        if text != GOOD or self.taken_back:
            raise TokenInvalidError("no")
        return Principal(name="token:ci", scope=Scope.OPERATE, kind="token", token_id="tok_1")


def a_scope(connection=TCP, method="GET", path="/api/v1/jobs", scheme="http", **headers):
    listed = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "scheme": scheme,
        "query_string": b"",
        "headers": listed,
        "state": state_of(connection),
    }


async def recognised(scope):
    async def app(scope, receive, send):
        pass

    await Recognition(app, Known(), own_uid=OWN_UID)(scope, None, None)
    return scope


async def passed(scope):
    """Return whether the gate let it pass, the refusal, or the answer it gave itself."""
    sent, inside = [], []

    async def app(scope, receive, send):
        inside.append(scope)

    async def sending(message):
        sent.append(message)

    layers = Recognition(Gate(app), Known(), own_uid=OWN_UID)
    try:
        await layers(scope, None, sending)
    except Exception as error:
        return error
    return sent or bool(inside)


async def test_the_kernel_says_who_is_at_the_unix_socket():
    for uid, scope in ((OWN_UID, Scope.ADMIN), (0, Scope.ADMIN), (1000, Scope.OPERATE)):
        asked = await recognised(
            a_scope(Connection(listener="unix", uid=uid, address="unix:pid=1"))
        )
        who = principal_of(asked)
        assert (who.name, who.scope, who.kind) == (f"uid:{uid}", scope, "unix")
        assert who.address == "unix:pid=1"


@pytest.mark.parametrize(
    "shown", [{"authorization": f"Bearer {GOOD}"}, {"cookie": f"{COOKIE}={GOOD}"}]
)
async def test_a_long_answer_ends_soon_after_its_token(autojump_clock, shown):
    known, sent = Known(), []

    async def app(scope, receive, send):
        for second in range(60):
            await send(second)
            await trio.sleep(1)
            if second == 20:
                known.taken_back = True

    async def sending(message):
        sent.append(message)

    with pytest.raises(TokenInvalidError):
        await Recognition(app, known, own_uid=OWN_UID)(a_scope(**shown), None, sending)
    assert 20 < len(sent) <= 20 + auth.LOOK_AGAIN_S


async def test_a_token_counts_more_than_the_socket():
    unix = Connection(listener="unix", uid=0)
    asked = await recognised(a_scope(unix, authorization=f"Bearer {GOOD}"))
    assert principal_of(asked).name == "token:ci"
    asked = await recognised(a_scope(unix, authorization="Bearer bad"))
    assert isinstance(refusal_of(asked), TokenInvalidError)


async def test_only_the_unix_socket_says_who_somebody_is():
    for connection in (TCP, Connection(listener="http", uid=0), Connection(listener="unix")):
        with pytest.raises(TokenMissingError):
            principal_of(await recognised(a_scope(connection)))


async def test_a_bearer_token_is_recognised_with_its_address():
    for word in ("Bearer", "bearer", "BEARER"):
        who = principal_of(await recognised(a_scope(authorization=f"{word} {GOOD}")))
        assert (who.name, who.address) == ("token:ci", "10.0.0.1")


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", GOOD, f"Basic {GOOD}", f"Bearer {GOOD} x", "Bearer \xe9"]
)
async def test_other_credentials_are_refused(value):
    with pytest.raises(TokenInvalidError):
        principal_of(await recognised(a_scope(authorization=value)))


async def test_scopes_include_the_ones_before_them():
    asked = await recognised(a_scope(authorization=f"Bearer {GOOD}"))
    assert require(asked, Scope.READ).name == "token:ci"
    assert require(asked, Scope.OPERATE)
    with pytest.raises(ScopeTooSmallError) as caught:
        require(asked, Scope.ADMIN)
    assert caught.value.http_status == 403
    assert caught.value.details == {"needed": "admin", "held": "operate"}


async def test_nobody_passes_the_gate_unknown_but_to_what_is_open():
    for method, path in (
        ("GET", "/api/v1/health"),
        ("HEAD", "/api/v1/health"),
        ("GET", "/health"),
        ("GET", "/.well-known/jwks.json"),
        ("GET", "/static/console.css"),
        ("GET", "/sign-in"),
        ("POST", "/sign-in"),
    ):
        assert await passed(a_scope(method=method, path=path)) is True, path
    for method, path in (
        ("POST", "/api/v1/health"),
        ("GET", "/api/v1/health/ready/"),
        ("GET", "/api/v1/healthy"),
        ("GET", "/static"),
        ("POST", "/static/x"),
        ("GET", "/metrics"),
        ("GET", "/"),
        ("OPTIONS", "/api/v1/jobs"),
    ):
        assert isinstance(await passed(a_scope(method=method, path=path)), TokenMissingError), path
    assert await passed(a_scope(authorization=f"Bearer {GOOD}")) is True


async def test_a_call_passes_unrecognised_and_its_application_learns_why():
    asked = a_scope(method="POST", path="/a.B/C", content_type="application/grpc")
    assert await passed(asked) is True
    assert refusal_of(asked).code == "auth.missing"


async def test_a_browser_is_sent_to_sign_in_and_back():
    asked = a_scope(path="/jobs/a b", accept="text/html,*/*") | {"query_string": b"x=1"}
    [start, _] = await passed(asked)
    assert start["status"] == 303
    assert dict(start["headers"])[b"location"] == b"/sign-in?next=%2Fjobs%2Fa%2520b%3Fx%3D1"
    for path in ("/api/v1/jobs", "/v1/models", "/metrics"):
        assert isinstance(await passed(a_scope(path=path, accept="text/html")), TokenMissingError)


async def test_websockets_are_closed():
    scope = a_scope(authorization=f"Bearer {GOOD}") | {"type": "websocket"}
    [message] = await passed(scope)
    assert message["type"] == "websocket.close"


def by_cookie(method="GET", token=GOOD, scheme="http", **headers):
    name = auth.HOST_COOKIE if scheme == "https" else COOKIE
    return a_scope(
        method=method, scheme=scheme, cookie=f"a=b; {name}={token}", host="edge:8080", **headers
    )


async def test_a_cookie_is_enough_to_look():
    assert principal_of(await recognised(by_cookie())).name == "token:ci"
    assert isinstance(refusal_of(await recognised(by_cookie(token="bad"))), TokenInvalidError)
    assert principal_of(await recognised(by_cookie(scheme="https"))).name == "token:ci"
    plain_name_over_tls = by_cookie() | {"scheme": "https"}
    assert isinstance(refusal_of(await recognised(plain_name_over_tls)), TokenMissingError)


JSON = {"content_type": "application/json"}
FORM = {"content_type": "application/x-www-form-urlencoded"}
OURS = {"origin": "http://edge:8080"}
HEADER = {"x_requested_with": "mnedge"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_change_by_cookie_must_come_from_our_own_page(method):
    assert principal_of(await recognised(by_cookie(method, **JSON, **OURS, **HEADER)))
    fetched = {"sec_fetch_site": "same-origin"}
    assert principal_of(await recognised(by_cookie(method, **JSON, **fetched, **HEADER)))
    for headers in (
        JSON | OURS,  # no header of ours
        JSON | HEADER,  # no word from where
        JSON | HEADER | {"origin": "http://evil"},
        JSON | HEADER | {"origin": "null"},
        JSON | HEADER | {"origin": "https://edge:8080"},
        JSON | HEADER | OURS | {"sec_fetch_site": "cross-site"},
        JSON | HEADER | OURS | {"sec_fetch_site": "same-site"},
        JSON | OURS | {"x_requested_with": "XMLHttpRequest"},
        {"content_type": "text/plain"} | OURS,
    ):
        refusal = refusal_of(await recognised(by_cookie(method, **headers)))
        assert isinstance(refusal, CrossSiteError), headers
        assert refusal.http_status == 403


async def test_a_form_is_refused_until_its_field_is_proved():
    asked = await recognised(by_cookie("POST", **FORM, **OURS))
    with pytest.raises(CrossSiteError):
        require(asked, Scope.READ)
    for wrong in (None, "", "wrong", 7, "\ud800"):
        with pytest.raises(CrossSiteError):
            auth.prove_form(asked, wrong)
    auth.prove_form(asked, auth.csrf_token(asked))
    assert require(asked, Scope.OPERATE).name == "token:ci"


async def test_the_field_belongs_to_one_session():
    one, other = by_cookie(), by_cookie(token="another-token")
    assert auth.csrf_token(one) != auth.csrf_token(other)
    assert auth.csrf_token(one) == auth.csrf_token(by_cookie("POST"))
    assert GOOD not in auth.csrf_token(one)
    assert auth.csrf_token(a_scope()) == ""


async def test_who_is_known_otherwise_needs_no_field():
    asked = await recognised(a_scope(method="POST", authorization=f"Bearer {GOOD}", **FORM))
    auth.prove_form(asked, None)
    assert require(asked, Scope.OPERATE)


def test_the_cookie_is_for_this_host_this_site_and_no_script():
    plain = auth.session_cookie(a_scope(), "t")
    assert plain == "mnedge_session=t; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict"
    secure = auth.session_cookie(a_scope(scheme="https"), "t", 60)
    assert secure.startswith("__Host-mnedge_session=t; Path=/; Max-Age=60; ")
    assert secure.endswith("; Secure")
    assert auth.session_cookie(a_scope(), "t", 0).startswith("mnedge_session=; Path=/; Max-Age=0")


@pytest.mark.parametrize(
    "text, local",
    [
        ("/jobs?x=1", True),
        ("/", True),
        ("//evil", False),
        ("/\\evil", False),
        ("http://evil", False),
        ("javascript:x", False),
        ("", False),
        ("/a\r\nb", False),
    ],
)
def test_only_our_own_pages_are_gone_back_to(text, local):
    assert auth.is_local_path(text) is local


async def test_the_own_user_is_who_the_daemon_runs_as():
    async def app(scope, receive, send):
        pass

    scope = a_scope(Connection(listener="unix", uid=os.geteuid()))
    await Recognition(app, Known())(scope, None, None)
    assert principal_of(scope).scope is Scope.ADMIN
    assert auth.known(scope) is not None
    assert auth.known(a_scope()) is None
