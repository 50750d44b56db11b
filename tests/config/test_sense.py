from pathlib import Path

import msgspec
import pytest

from mnedge.config.sense import Address, address_of, complaints
from mnedge.config.settings import Config, FileSettings


def told(**sections):
    held = msgspec.convert(sections, FileSettings)
    config = Config(
        data_dir=Path("/d"),
        runs_root=Path("/r"),
        home=Path("/h"),
        environ={},
        relay=held.relay,
        soul=held.soul,
        trace=held.trace,
        daemon=held.daemon,
        updates=held.updates,
    )
    return {complaint.path: complaint for complaint in complaints(config)}


@pytest.mark.parametrize(
    "text, found",
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("localhost:80", Address("localhost", 80)),
        ("[::1]:8080", Address("::1", 8080)),
        ("edge-7.lan:65535", Address("edge-7.lan", 65535)),
        (":8080", None),
        ("127.0.0.1", None),
        ("a:b", None),
        ("a:70000", None),
        ("[x]:1", None),
        ("::1:80", None),
        ("a/b:80", None),
    ],
)
def test_an_address_is_host_and_port(text, found):
    assert address_of(text) == found


def test_the_defaults_make_sense():
    assert told() == {}


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.168.1.7", "edge.lan"])
def test_an_address_that_others_reach_needs_tls_or_a_word(host):
    listen = {"http": f"{host}:8080"}
    assert told(relay={"listen": listen})["relay.listen.http"].rule == "CFG-E05"
    assert told(relay={"listen": {**listen, "tls": {}}}) == {}
    plain = told(relay={"listen": {**listen, "allowPlain": True}})
    assert plain["relay.listen.http"].rule == "CFG-W02"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_loopback_needs_nothing(host):
    assert told(relay={"listen": {"http": f"{host}:0", "grpc": f"{host}:1"}}) == {}


@pytest.mark.parametrize(
    "relay, path",
    [
        ({"listen": {"grpc": "x"}}, "relay.listen.grpc"),
        ({"listen": {"socket": "x.sock"}}, "relay.listen.socket"),
        ({"listen": {"tls": {"certFile": "/nowhere"}}}, "relay.listen.tls"),
        ({"listen": {"tls": {"certFile": "/no", "keyFile": "/no"}}}, "relay.listen.tls.keyFile"),
        ({"rateLimit": {"burst": 0}}, "relay.rateLimit.burst"),
        ({"limits": {"maxBody": 0}}, "relay.limits.maxBody"),
        ({"trustedProxies": ["10.0.0.0/8", "x"]}, "relay.trustedProxies[1]"),
        ({"cors": ["https://a/b"]}, "relay.cors[0]"),
        ({"adapters": [{"name": "a"}]}, "relay.adapters[0]"),
        ({"adapters": [{"name": "a", "mock": True}] * 2}, "relay.adapters[1].name"),
        (
            {"adapters": [{"name": "a", "mock": True, "logBodies": True}]},
            "relay.adapters[0].logBodies",
        ),
        ({"adapters": [{"name": "a", "baseUrl": "ftp://x"}]}, "relay.adapters[0].baseUrl"),
        ({"adapters": [{"name": "a", "baseUrl": "http://x"}]}, "relay.adapters[0].baseUrl"),
        ({"adapters": [{"name": "a", "baseUrl": "https://u:p@x"}]}, "relay.adapters[0].baseUrl"),
        (
            {"adapters": [{"name": "a", "mock": True, "fallback": ["b"]}]},
            "relay.adapters[0].fallback[0]",
        ),
        (
            {"adapters": [{"name": "a", "mock": True, "routes": [{"match": "v1"}]}]},
            "relay.adapters[0].routes[0].match",
        ),
        (
            {
                "adapters": [
                    {"name": "a", "mock": True, "auth": {"secretRef": {"name": "v", "key": "k"}}}
                ]
            },
            "relay.adapters[0].auth.secretRef.name",
        ),
    ],
)
def test_the_gateway_says_what_makes_no_sense(relay, path):
    assert path in told(relay=relay)


@pytest.mark.parametrize(
    "adapter",
    [
        {"name": "a", "mock": True},
        {"name": "a", "baseUrl": "https://llm.example/v1"},
        {"name": "a", "baseUrl": "http://127.0.0.1:11434"},
        {"name": "a", "baseUrl": "http://gpu.lan", "allowPlain": True},
    ],
)
def test_an_adapter_that_makes_sense(adapter):
    assert told(relay={"adapters": [adapter]}) == {}


@pytest.mark.parametrize(
    "trace, path",
    [
        ({"otel": {"endpoint": "collector"}}, "trace.otel.endpoint"),
        ({"otel": {"ratio": 2}}, "trace.otel.ratio"),
        ({"metrics": {"prometheus": {"path": "metrics"}}}, "trace.metrics.prometheus.path"),
        ({"slos": [{"name": "a", "target": "quick"}]}, "trace.slos[0].target"),
        ({"slos": [{"name": "a", "target": "101%"}]}, "trace.slos[0].target"),
        ({"slos": [{"name": "a", "target": "1.5"}]}, "trace.slos[0].target"),
        ({"slos": [{"name": "a", "target": "99%", "window": 0}]}, "trace.slos[0].window"),
        ({"slos": [{"name": "a", "target": "99%", "percentile": 100}]}, "trace.slos[0].percentile"),
        ({"slos": [{"name": "a", "target": "99%"}] * 2}, "trace.slos[1].name"),
        ({"alerts": [{"name": "a", "expr": "x", "notify": ["b"]}]}, "trace.alerts[0].notify[0]"),
        ({"alerts": [{"name": "a", "expr": "x"}] * 2}, "trace.alerts[1].name"),
        ({"notify": [{"name": "a", "skill": "file"}] * 2}, "trace.notify[1].name"),
    ],
)
def test_telemetry_says_what_makes_no_sense(trace, path):
    assert path in told(trace=trace)


def test_targets_are_shares_or_durations():
    for target in ("99.5%", "0.995", "500ms", "100%"):
        assert told(trace={"slos": [{"name": "a", "target": target}]}) == {}


def test_a_plain_header_is_warned_about_and_a_reference_is_not():
    headers = {"authorization": "Bearer x", "tenant": {"name": "env", "key": "T"}}
    found = told(trace={"otel": {"headers": headers}})
    assert {path: one.rule for path, one in found.items()} == {
        "trace.otel.headers.authorization": "CFG-W01"
    }


def test_tokens_and_audit_have_a_least():
    soul = {"policies": {"tokenTTL": 0}, "jwt": {"rotateHours": 0}, "audit": {"keepDays": 0}}
    assert len(told(soul=soul)) == 3


def test_a_key_of_releases_is_32_bytes_in_base64():
    good = "A" * 43 + "="
    assert told(updates={"keys": [good, f"66687aadf862bd77 {good}"]}) == {}
    found = told(updates={"keys": [good, "nonsense", "", "QUJD"], "healthTimeout": 0})
    assert list(found) == [
        *("updates.keys[1]", "updates.keys[2]", "updates.keys[3]", "updates.healthTimeout"),
    ]
