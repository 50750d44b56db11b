"""A real daemon, and everything that must not work on it."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing

import httpx
import pytest

from tests.live.box import Box, until

pytestmark = pytest.mark.live

CANARY = "canary-Zz9-hunter2-secret"
NOBODY = 65534
CONFIG = """
relay:
  rateLimit: {requestsPerSecond: 20, burst: 60}
  limits: {maxBody: 256Ki, requestTimeout: 1s, idleTimeout: 2s}
  adapters:
    - name: mocked
      mock: true
      auth: {secretRef: {name: env, key: CANARY_KEY}}
      routes: [{match: /v1/chat/completions}]
soul:
  policies: {tokenTTL: 1h}
"""


class Daemon:
    """A daemon that listens on TCP, and callers of it."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.data_dir = box.home / "mnedge"
        file = box.folder / "mnedge.yaml"
        file.write_text(CONFIG)
        listen = ("--config", str(file), "--http", "127.0.0.1:0")
        self.process = box.start("daemon", *listen, CANARY_KEY=CANARY)
        until(lambda: (self.data_dir / "endpoints.json").exists() or self.process.poll())
        assert self.process.poll() is None, self.process.communicate()
        self.endpoints = json.loads((self.data_dir / "endpoints.json").read_text())
        self.url = self.endpoints["http"]
        self.port = int(self.url.rpartition(":")[2])
        self.socket = self.data_dir / "mnedge.sock"

    def token(self, scope: str, name: str = "test", *more: str) -> str:
        return self.box.call(
            "token", "create", "--name", name, "--scope", scope, *more
        ).stdout.strip()

    def ask(self, method: str, path: str, token: str | None = None, **more) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(base_url=self.url, timeout=10) as client:
            return client.request(method, path, headers=headers | more.pop("headers", {}), **more)

    def raw(self, content: bytes, within_s: float = 10.0) -> bytes:
        with closing(socket.create_connection(("127.0.0.1", self.port), within_s)) as stream:
            stream.sendall(content)
            told = b""
            try:
                while piece := stream.recv(65536):
                    told += piece
            except ConnectionResetError:
                pass
            return told

    def stopped(self) -> str:
        """End it and return everything it said."""
        self.process.terminate()
        out, err = self.process.communicate(timeout=20)
        return out + err


@pytest.fixture
def box(tmp_path):
    box = Box(tmp_path)
    yield box
    box.close()


@pytest.fixture
def daemon(box):
    return Daemon(box)


def test_nobody_gets_in_without_a_token(daemon):
    for method, path in (
        ("GET", "/api/v1/jobs"),
        ("POST", "/api/v1/jobs"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/audit"),
        ("GET", "/api/v1/tokens"),
        ("GET", "/"),
        ("POST", "/v1/chat/completions"),
        ("OPTIONS", "/api/v1/jobs"),
    ):
        reply = daemon.ask(method, path)
        assert reply.status_code == 401, (path, reply.text)
        assert reply.json()["code"] == "auth.missing"
        assert reply.headers["www-authenticate"].startswith("Bearer")
    assert daemon.ask("GET", "/api/v1/health").status_code == 200
    assert daemon.ask("GET", "/api/v1/jobs", "x.y.z").json()["code"] == "auth.invalid"
    page = daemon.ask("GET", "/jobs", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2Fjobs")


def test_a_scope_that_is_too_small_is_refused_and_written_down(daemon, box):
    read, operate = daemon.token("read"), daemon.token("operate")
    assert daemon.ask("GET", "/api/v1/jobs", read).status_code == 200
    refused = daemon.ask("POST", "/api/v1/jobs", read, json={})
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.scope")
    for token in (read, operate):
        for method, path in (
            ("GET", "/api/v1/audit"),
            ("POST", "/api/v1/tokens"),
            ("DELETE", "/api/v1/tokens/tok_x"),
            ("POST", "/api/v1/config/reload"),
        ):
            body = {"json": {"name": "x", "scope": "admin"}} if method == "POST" else {}
            assert daemon.ask(method, path, token, **body).status_code == 403, path
    assert daemon.ask("GET", "/api/v1/audit", daemon.token("admin")).status_code == 200
    denied = box.json("audit", "list", "--action", "access.denied")
    assert any(one["actor"] == "token:test" and one["result"] == "deny" for one in denied)


@pytest.mark.drives("mnedge token create")
@pytest.mark.drives("mnedge token list")
@pytest.mark.drives("mnedge token revoke")
def test_a_revoked_or_ended_token_is_refused_at_once(daemon, box):
    token = daemon.token("read", "gone")
    assert daemon.ask("GET", "/api/v1/jobs", token).status_code == 200
    [record] = [one for one in box.json("token", "list") if one["name"] == "gone"]
    box.call("token", "revoke", record["token_id"])
    assert daemon.ask("GET", "/api/v1/jobs", token).json()["code"] == "auth.revoked"
    actions = [one["action"] for one in box.json("audit", "list")]
    assert {"token.create", "token.revoke"} <= {a.replace("issue", "create") for a in actions}
    assert box.json("audit", "verify")["good"] is True
    assert box.call("token", "revoke", "tok_no", code=2).stderr.startswith("✗")


def test_a_token_that_was_changed_is_refused(daemon):
    head, body, signature = daemon.token("read").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))

    def coded(value) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for text in (
        f"{head}.{coded(claims | {'scope': 'admin'})}.{signature}",
        f"{head}.{coded(claims | {'exp': claims['exp'] + 9999})}.{signature}",
        f"{coded({'alg': 'none'})}.{coded(claims | {'scope': 'admin'})}.",
    ):
        assert daemon.ask("GET", "/api/v1/jobs", text).json()["code"] == "auth.invalid"


def test_the_published_keys_verify_its_tokens_and_no_other_file_leaks(daemon):
    import jwt

    keys = daemon.ask("GET", "/.well-known/jwks.json").json()
    token = daemon.token("read")
    node = daemon.endpoints["node"]
    kid = jwt.get_unverified_header(token)["kid"]
    [key] = [one for one in jwt.PyJWKSet.from_dict(keys).keys if one.key_id == kid]
    assert jwt.decode(token, key, ["ES256"], audience=f"mnedge:{node}")["sub"] == "test"
    assert '"d"' not in json.dumps(keys)


PATHS = [
    (b"/static/../../mnedge.db", 400),
    (b"/static/%2e%2e/%2e%2e/mnedge.db", 400),
    (b"/static/..%2f..%2fmnedge.db", 400),
    (b"/static/%252e%252e/mnedge.db", 403),
    (b"/static/%c0%ae%c0%ae/mnedge.db", 400),
    (b"/static/\\..\\mnedge.db", 400),
    (b"/static/x%00.css", 400),
    (b"/static//etc/passwd", 403),
    (b"/api/v1/../../etc/passwd", 400),
    (b"/api/v1/health/../jobs", 400),
    (b"/api/v1/health%2f..%2fjobs", 400),
    (b"/api/v1/health;/jobs", 401),
    (b"//api/v1/jobs", 401),
    (b"http://evil/api/v1/health", 400),
    (b"/.well-known/../api/v1/jobs", 400),
    (b"/static/nothing-here.css", 404),
]


def test_no_path_leads_around_the_gate(daemon):
    for path, status in PATHS:
        told = daemon.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert int(told.split()[1]) == status, (path, told[:600])
        assert b"SQLite" not in told


def test_what_is_too_large_is_refused(daemon):
    token = daemon.token("operate")
    reply = daemon.ask("POST", "/api/v1/jobs", token, json={"x": "y" * 300_000})
    assert (reply.status_code, reply.json()["code"]) == (413, "relay.too_large")

    def chunks():
        for _ in range(40):
            yield b"x" * 10_000

    reply = daemon.ask(
        "POST",
        "/api/v1/jobs",
        token,
        content=chunks(),
        headers={"content-type": "application/json"},
    )
    assert reply.status_code == 413
    assert daemon.ask("GET", "/api/v1/jobs", token, headers={"x": "y" * 20_000}).status_code == 431
    many = {f"x-{n}": "1" for n in range(150)}
    assert daemon.ask("GET", "/api/v1/jobs", token, headers=many).status_code == 431
    deep = b"[" * 5000
    json_kind = {"content-type": "application/json"}
    reply = daemon.ask("POST", "/api/v1/jobs", token, content=deep, headers=json_kind)
    assert reply.status_code == 400
    assert daemon.ask("GET", "/api/v1/health").status_code == 200


def test_who_sends_slowly_holds_nothing_for_long(daemon):
    began = time.monotonic()
    assert daemon.raw(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""
    token = daemon.token("operate")
    head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    kind = "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    told = daemon.raw((head + kind).encode())
    assert told.startswith(b"HTTP/1.1 408"), told[:300]
    assert time.monotonic() - began < 10


SMUGGLED = [
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: 1\r\n 2\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\tchunked, identity\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
]


def test_nothing_is_smuggled(daemon):
    for smuggled in SMUGGLED:
        told = daemon.raw(smuggled + b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert told[9:10] in (b"4", b"5"), smuggled
        assert told.count(b"HTTP/1.1 ") == 1, smuggled


def test_who_asks_too_often_is_told_when_to_come_back(daemon):
    token = daemon.token("read")
    with httpx.Client(base_url=daemon.url, headers={"authorization": f"Bearer {token}"}) as client:
        replies = [client.get("/api/v1/health") for _ in range(150)]
    refused = [reply for reply in replies if reply.status_code == 429]
    assert refused
    assert len(refused) < len(replies)
    assert int(refused[0].headers["retry-after"]) >= 1
    assert refused[0].json()["code"] in ("relay.too_often", "relay.rate_limited")
    transport = httpx.HTTPTransport(uds=str(daemon.socket))
    with httpx.Client(transport=transport, base_url="http://x") as client:
        assert all(client.get("/api/v1/health").status_code == 200 for _ in range(150))


KNOCK = """
import os, socket, sys
os.setgroups([]) if os.getuid() == 0 else None
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
except OSError as error:
    print(error.errno); sys.exit()
s.sendall(b"GET /api/v1/whoami HTTP/1.0\\r\\n\\r\\n")
print(b"".join(iter(lambda: s.recv(65536), b"")).decode())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_cannot_use_the_unix_socket(daemon):
    assert daemon.socket.stat().st_mode & 0o777 == 0o600
    assert daemon.data_dir.stat().st_mode & 0o077 == 0

    def knock() -> str:
        done = subprocess.run(
            [sys.executable, "-I", "-c", KNOCK, str(daemon.socket), str(NOBODY)],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert knock().strip() == "13"
    # Even where every folder on the way and the socket itself are opened, it is no administrator.
    opened = [daemon.socket, *daemon.socket.parents]
    before = {path: path.stat().st_mode for path in opened if path.owner() == "root"}
    try:
        for path, mode in before.items():
            path.chmod(mode | (0o007 if path == daemon.socket else 0o001))
        told = knock()
    finally:
        for path, mode in before.items():
            path.chmod(mode & 0o7777)
    assert f'"uid:{NOBODY}"' in told
    assert '"operate"' in told


def test_a_page_of_another_site_cannot_use_the_cookie(daemon):
    token = daemon.token("admin")
    cookie = {"cookie": f"mnedge_session={token}"}
    assert daemon.ask("GET", "/api/v1/jobs", headers=cookie).status_code == 200
    body = {"name": "evil", "scope": "admin"}
    for headers in (
        {},
        {"origin": "http://evil.example"},
        {"origin": "http://evil.example", "x-requested-with": "mnedge"},
        {"origin": daemon.url},
        {"x-requested-with": "mnedge"},
        {"origin": "null", "x-requested-with": "mnedge", "sec-fetch-site": "cross-site"},
    ):
        reply = daemon.ask("POST", "/api/v1/tokens", headers=cookie | headers, json=body)
        assert (reply.status_code, reply.json()["code"]) == (403, "auth.cross_site"), headers
    form = {"content": "name=evil&scope=admin"}
    kind = {"content-type": "application/x-www-form-urlencoded", "origin": daemon.url}
    reply = daemon.ask("POST", "/api/v1/tokens", headers=cookie | kind, **form)
    assert reply.status_code in (403, 415)
    ours = {"origin": daemon.url, "x-requested-with": "mnedge"}
    reply = daemon.ask("POST", "/api/v1/tokens", headers=cookie | ours, json=body)
    assert reply.status_code == 201


def test_no_secret_shows_anywhere(daemon, box):
    token = daemon.token("operate")
    body = {"model": "x", "messages": [{"role": "user", "content": "hello"}]}
    shown = [daemon.ask("POST", "/v1/chat/completions", token, json=body).text]
    paths = ("/api/v1/jobs", "/api/v1/nothing", f"/api/v1/jobs/{CANARY[:6]}", "/api/v1/config")
    shown += [daemon.ask("GET", path, daemon.token("admin")).text for path in paths]
    shown.append(box.call("doctor", "--security", code=None).stdout)
    shown.append(box.call("config", "show", code=None).stdout)
    shown.append(daemon.stopped())
    signature = token.rpartition(".")[2]
    forms = [CANARY, base64.b64encode(CANARY.encode()).decode().rstrip("="), signature]
    for text in shown:
        assert not [form for form in forms if form in text], text[:500]
    for path in box.folder.rglob("*"):
        if path.is_file() and path.name not in ("grpc_auth.token", "api.token"):
            content = path.read_bytes()
            assert not [form for form in forms if form.encode() in content], path


@pytest.mark.drives("mnedge doctor")
def test_doctor_explains_every_listener_of_the_daemon(daemon, box):
    told = box.json("doctor", "--security")
    named = {finding["name"]: finding for finding in told["findings"]}
    assert named[str(daemon.socket)]["status"] == "ok"
    [tcp] = [one for name, one in named.items() if name.startswith("http 127.0.0.1:")]
    assert "only this machine" in tcp["found"]
    daemon.socket.chmod(0o666)
    assert box.json("doctor", "--security", code=1)["healthy"] is False


def test_a_plain_listener_for_others_is_not_opened(box):
    process = box.start("daemon", "--http", "0.0.0.0:0")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "allowPlain" in err
