"""All layers in their order: who gets how far, and what is counted and written down."""

import httpx
import pytest

from mnedge.config.settings import Audit, Config, Metrics, Prometheus, RateLimit, Relay, Soul, Trace
from mnedge.gateway.auth import require
from mnedge.gateway.connection import Connection, connected
from mnedge.gateway.guard import Guarding, guarded, route_of
from mnedge.identity.audit import AuditLog
from mnedge.identity.tokens import Tokens
from mnedge.model.access import Scope
from mnedge.observe.metrics import Registry
from mnedge.part import running
from mnedge.store.memory import MemoryStore

DATE = 1_800_000_000.0


async def app(scope, receive, send):
    require(scope, Scope.OPERATE)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


class Gateway:
    """The layers, asked over TCP."""

    def __init__(self, asked, tokens, audit, registry) -> None:
        self.asked = asked
        self.tokens = tokens
        self.audit = audit
        self.registry = registry

    async def get(self, path="/x", token=None, **headers):
        given = {"authorization": f"Bearer {token}"} if token else {}
        return await self.asked.get(path, headers=given | headers)

    def figure(self, name, **labels):
        return sum(
            sample.value
            for sample in self.registry.samples([name])
            if labels.items() <= dict(sample.labels).items()
        )


@pytest.fixture
def open_gateway(tmp_path):
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def opened(relay=None, inner=app, **more):
        config = Config(
            data_dir=tmp_path,
            runs_root=tmp_path,
            home=tmp_path,
            environ={},
            relay=relay or Relay(),
            **more,
        )
        registry = Registry()
        async with running(MemoryStore()) as store:
            tokens = Tokens(store.table, tmp_path, Soul(), "edge", lambda: DATE)
            async with running(AuditLog(tmp_path, Audit(), lambda: DATE, inline=True)) as audit:
                by = Guarding(
                    settings=lambda: config,
                    tokens=tokens,
                    audit=audit,
                    now=lambda: DATE,
                    metrics=registry,
                )
                tcp = connected(guarded(inner, by), Connection(listener="http", address="10.0.0.9"))
                transport = httpx.ASGITransport(tcp)
                async with httpx.AsyncClient(transport=transport, base_url="http://edge") as asked:
                    yield Gateway(asked, tokens, audit, registry)

    return opened


async def test_each_is_refused_by_the_first_layer_that_minds(open_gateway):
    async with open_gateway() as gateway:
        operate = (await gateway.tokens.issue("ci", Scope.OPERATE)).token
        read = (await gateway.tokens.issue("look", Scope.READ)).token
        for token, path, status, code in (
            (None, "/x", 401, "auth.missing"),
            ("bad", "/x", 401, "auth.invalid"),
            (read, "/x", 403, "auth.scope"),
            (None, "/a%2fb", 400, "relay.malformed"),
            (operate, "/x?q=%3Cscript%3E", 403, "relay.blocked"),
        ):
            reply = await gateway.get(path, token)
            assert (reply.status_code, reply.json()["code"]) == (status, code)
            assert reply.headers["x-request-id"] == reply.json()["request_id"]
        assert (await gateway.get(token=operate)).text == "in"
        assert gateway.figure("http_requests_total", status="401") == 2
        assert gateway.figure("http_requests_total", status="200") == 1
        assert gateway.figure("mnedge_auth_denied_total", reason="missing") == 1
        assert gateway.figure("mnedge_waf_blocked_total", rule="xss") == 1


async def test_denials_are_written_down_but_never_without_end(open_gateway):
    relay = Relay(rate_limit=RateLimit(requests_per_second=1e6, burst=10**6))
    async with open_gateway(relay) as gateway:
        for _ in range(50):
            await gateway.get(token="bad")
            await gateway.get()
        await gateway.tokens.issue("x", Scope.READ)
        while gateway.audit._waiting:
            import trio

            await trio.lowlevel.checkpoint()
        records = await gateway.audit.page(limit=100)
        assert len(records) == 10
        first = records[0]
        assert (first.actor, first.address, first.action) == (
            "unknown",
            "10.0.0.9",
            "access.denied",
        )
        assert (first.object, first.result) == ("GET /x", "deny")
        assert "auth.invalid" in first.reason


async def test_who_is_unknown_is_limited_by_address(open_gateway):
    relay = Relay(rate_limit=RateLimit(requests_per_second=0.001, burst=3))
    async with open_gateway(relay) as gateway:
        assert [(await gateway.get()).status_code for _ in range(5)] == [401, 401, 401, 429, 429]
        reply = await gateway.get()
        assert int(reply.headers["retry-after"]) > 100
        assert reply.headers["ratelimit"] == '"default";r=0'
        token = (await gateway.tokens.issue("ci", Scope.OPERATE)).token
        assert (await gateway.get(token=token)).status_code == 200
        assert gateway.figure("mnedge_rate_limited_total", key_kind="address") == 3


async def test_pages_of_other_sites_call_only_if_they_are_named(open_gateway):
    ask = {"origin": "https://ops.example", "access-control-request-method": "GET"}
    async with open_gateway() as gateway:
        reply = await gateway.asked.options("/x", headers=ask)
        assert reply.status_code == 401
        assert "access-control-allow-origin" not in reply.headers
    async with open_gateway(Relay(cors=("https://ops.example",))) as gateway:
        reply = await gateway.asked.options("/x", headers=ask)
        assert reply.headers["access-control-allow-origin"] == "https://ops.example"
        reply = await gateway.asked.options("/x", headers=ask | {"origin": "https://evil"})
        assert "access-control-allow-origin" not in reply.headers


async def test_figures_can_be_opened_to_all(open_gateway):
    trace = Trace(metrics=Metrics(prometheus=Prometheus(auth="none")))
    async with open_gateway(trace=trace) as gateway:
        assert (await gateway.get("/metrics")).json()[
            "code"
        ] == "auth.missing"  # the app's own word
        assert (await gateway.get("/metrics/x")).status_code == 401


def test_a_route_is_named_by_its_pattern():
    scope = {"path": "/api/v1/jobs/abc/events", "path_params": {"job_id": "abc"}, "headers": []}
    assert route_of(scope) == "none"
    assert route_of(scope | {"endpoint": app}) == "/api/v1/jobs/{job_id}/events"
    assert route_of(scope | {"state": {"route": "GET /x"}}) == "GET /x"
    assert route_of(scope | {"headers": [(b"content-type", b"application/grpc")]}) == "grpc"


async def test_changes_and_refusals_are_told_to_the_log_and_looks_only_when_it_is_verbose(
    open_gateway, autojump_clock, caplog
):
    async with open_gateway() as gateway:
        token = (await gateway.tokens.issue("ada", Scope.OPERATE)).token
        with caplog.at_level("INFO", "mnedge.access"):
            await gateway.get(token=token)
            assert caplog.records == []
            await gateway.get()
        with caplog.at_level("DEBUG", "mnedge.access"):
            await gateway.get(token=token)
    refused, looked = (record.fields for record in caplog.records)
    assert (refused["status"], refused["caller"], refused["method"]) == (401, "", "GET")
    assert (looked["status"], looked["address"]) == (200, "10.0.0.9")
    assert looked["request_id"]
    assert token not in str(looked)


async def test_the_log_says_where_in_a_trace_a_change_stands(open_gateway, autojump_clock, caplog):
    trace_id, span_id = "ab" * 16, "cd" * 8

    async def traced(scope, receive, send):
        scope["state"]["trace_parent"] = f"00-{trace_id}-{span_id}-01"
        await app(scope, receive, send)

    async with open_gateway(inner=traced) as gateway:
        token = (await gateway.tokens.issue("ada", Scope.OPERATE)).token
        with caplog.at_level("DEBUG", "mnedge.access"):
            await gateway.get(token=token)
    [told] = (record.fields for record in caplog.records)
    assert (told["trace_id"], told["span_id"]) == (trace_id, span_id)
