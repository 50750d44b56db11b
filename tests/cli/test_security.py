"""`mnedge doctor --security`: every way in is explained, and what is dangerous ends with one."""

import pytest
from msgspec.structs import replace

from mnedge.cli import security
from mnedge.config.settings import (
    Config,
    Filter,
    Listen,
    Policies,
    RateLimit,
    Relay,
    Soul,
    Tls,
)
from mnedge.gateway.unix_socket import listening
from mnedge.identity.audit_file import AuditFile, AuditRecord
from mnedge.identity.certificates import own_certificate
from mnedge.identity.keyfile import KeyFile
from mnedge.identity.keys import Lives


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "node"
    folder.mkdir(mode=0o700)
    return Config(data_dir=folder, runs_root=folder, home=folder, environ={}, node="edge")


def with_relay(config, **more):
    return replace(config, relay=Relay(**more))


def found(findings, name):
    [one] = [finding for finding in findings if name in finding.name]
    return one


def dangers(config):
    return [(one.group, one.name) for one in security.examine(config) if one.status == "broken"]


def test_a_fresh_node_has_no_danger_and_no_listener(config):
    assert dangers(config) == []
    assert "nothing can be reached" in found(security.tcp_findings(config), "listeners").found
    assert found(security.key_findings(config), "signing keys").status == "absent"


@pytest.mark.parametrize(
    "listen, status, words",
    [
        (Listen(http="127.0.0.1:80"), "ok", "only this machine"),
        (Listen(http="0.0.0.0:80", tls=Tls()), "ok", "TLS"),
        (Listen(http="0.0.0.0:80"), "broken", "without TLS"),
        (Listen(grpc="edge.example:80", allow_plain=True), "broken", "tokens can be read"),
        (Listen(http="nonsense"), "broken", "nonsense"),
    ],
)
def test_each_listener_says_who_reaches_it_and_what_guards_it(config, listen, status, words):
    findings = list(security.tcp_findings(with_relay(config, listen=listen)))
    one = findings[0]
    assert (one.status, words in one.found) == (status, True), one
    assert one.mend or status == "ok"


def test_pages_of_other_sites(config):
    assert "off" in found(security.tcp_findings(config), "cross-origin").found
    every = with_relay(config, cors=("*",))
    assert found(security.tcp_findings(every), "cross-origin").status == "broken"
    some = with_relay(config, cors=("https://ops",), trusted_proxies=("0.0.0.0/0",))
    assert found(security.tcp_findings(some), "cross-origin").status == "ok"
    assert found(security.tcp_findings(some), "trusted proxies").status == "broken"


@pytest.mark.live
def test_a_socket_that_others_may_use_is_dangerous(config):
    made = listening(config.socket)
    try:
        [one] = security.socket_findings(config)
        assert one.status == "ok"
        assert "answers" in one.found
        config.socket.chmod(0o666)
        assert dangers(config) == [("unix socket", str(config.socket))]
        config.socket.chmod(0o660)
        assert dangers(config) == [("unix socket", str(config.socket))]
        named = with_relay(config, listen=Listen(socket_group="root"))
        statuses = [one.status for one in security.socket_findings(named)]
        assert "broken" not in statuses
    finally:
        made.close()
    [one] = security.socket_findings(with_relay(config, listen=Listen(socket=str(config.data_dir))))
    assert one.status == "broken"


def test_a_group_that_is_not_there_or_cannot_reach_the_socket(config):
    none = with_relay(config, listen=Listen(socket_group="no such group"))
    assert next(security._group(none, "no such group")).status == "warning"
    assert "cannot reach" in next(security._group(config, "65000")).found


def test_keys_that_others_can_read_are_dangerous(config):
    keys = KeyFile(config.data_dir)
    keys.advance(1_800_000_000.0, Lives(rotate_s=86_400, ttl_s=3600))
    assert dangers(config) == []
    keys.path.chmod(0o644)
    one = found(security.key_findings(config), "signing keys")
    assert one.status == "broken"
    assert "chmod 600" in one.mend
    config.data_dir.chmod(0o777)
    assert ("keys", str(config.data_dir)) in dangers(config)


def test_the_certificate_shows_its_fingerprint_and_end(config):
    tls = with_relay(config, listen=Listen(http="127.0.0.1:1", tls=Tls()))
    assert next(security.certificate_findings(tls)).status == "absent"
    own = own_certificate(config.data_dir, "edge", 1_800_000_000.0, ["localhost"])
    told = list(security.certificate_findings(tls))
    assert len(found(told, "SHA-256").found.split(":")) == 32
    own.key.chmod(0o640)
    assert found(security.certificate_findings(tls), "its key").status == "broken"
    own.certificate.write_text("x")
    assert next(security.certificate_findings(tls)).status == "broken"


def test_weak_settings_are_told(config):
    long = replace(config, soul=Soul(policies=Policies(token_ttl=7 * 86_400)))
    assert found(security.token_findings(long), "lifetime").status == "warning"
    loose = with_relay(
        config, rate_limit=RateLimit(requests_per_second=0), security=Filter(waf="detect")
    )
    assert found(security.limit_findings(loose), "rate").status == "warning"
    assert found(security.limit_findings(loose), "filter").status == "warning"
    exempt = with_relay(config, rate_limit=RateLimit(exempt=("unix", "token")))
    assert found(security.limit_findings(exempt), "rate").status == "warning"


def test_an_altered_audit_record_is_dangerous(config):
    record = AuditRecord(seq=0, at=1.0, actor="a", action="b", object="c", result="allow")
    AuditFile(config.data_dir / "audit", max_bytes=1 << 20, keep_days=1).append([record] * 3, 1.0)
    assert dangers(config) == []
    [path] = (config.data_dir / "audit").glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"actor":"a"', b'"actor":"z"', 1))
    assert dangers(config) == [("audit", "record")]


def test_what_a_running_daemon_listens_on_counts(config):
    assert security.listening(config) == (config.relay.listen, [])
    assert security._place("http://127.0.0.1:80") == "127.0.0.1:80"
    assert security._place(None) is None


@pytest.mark.drives("mnedge doctor")
def test_people_and_programs_read_it(mnedge, home, monkeypatch):
    monkeypatch.setenv("MNEDGE_DATA_DIR", str(home / "data"))
    assert "unix socket" in mnedge("doctor", "--security").out
    told = mnedge("doctor", "--security", "--json")
    assert told.value["healthy"] is True
    mnedge("token", "create", "--name", "ci")
    (home / "data" / "identity" / "signing-keys.json").chmod(0o644)
    assert mnedge("doctor", "--security", "--json", code=1).value["healthy"] is False
