import pytest
import trio

from mnedge.config.settings import Alert, Notify, Slo, Trace
from mnedge.errors import UnavailableError, UsageError
from mnedge.observe.alerting import Alerting, AlertUnknownError
from mnedge.observe.channels import SkillChannels
from mnedge.observe.metrics import Registry
from mnedge.part import running
from mnedge.store.memory import MemoryStore
from tests.runtime.rig import now


class Http:
    """What the gateway counts."""

    def __init__(self, registry):
        self.requests = registry.counter(
            "http_requests_total", "Requests.", ["method", "route", "status"]
        )
        self.seconds = registry.histogram(
            "http_request_duration_seconds", "Time.", labels=["route"]
        )

    def answered(self, method, route, status, took_s):
        self.requests.add(1, method, route, status)
        self.seconds.observe(took_s, route)


class Pager:
    name = "pager"

    def __init__(self):
        self.came = []
        self.away = False

    def check(self, settings):
        return []

    async def deliver(self, delivery, settings):
        await trio.lowlevel.checkpoint()
        if self.away:
            raise UnavailableError("away")
        self.came.append(delivery)

    def told(self):
        return [
            (d.body["alert"], d.body["severity"], d.body["status"])
            for d in self.came
            if d.body["severity"] != "ticket"
        ]


class Node:
    """A table that survives; figures that do not."""

    def __init__(self, store, trace):
        self.store, self.trace = store, trace
        self.pager, self.said = Pager(), []

    def open(self):
        self.registry = Registry()
        self.http = Http(self.registry)
        channels = SkillChannels({"pager": self.pager}, lambda: self.trace.notify, lambda r: "")
        return running(
            Alerting(
                lambda: self.trace,
                self.registry,
                self.store.table,
                channels,
                now=now,
                node="n",
                tell=lambda level, text, fields: self.said.append((level, text)),
            )
        )

    async def traffic(self, seconds, bad=0, good=10):
        for _ in range(int(seconds / 15)):
            await trio.sleep(15)
            for _ in range(good):
                self.http.answered("GET", "/api/v1/jobs", 200, 0.01)
            for _ in range(bad):
                self.http.answered("GET", "/api/v1/jobs", 503, 0.01)


NOTIFY = (Notify(name="phone", skill="pager"),)
SLOS = (Slo(name="cortex-availability", target="99.9%", window=30 * 86400.0),)
ALERTS = (
    Alert(
        name="HighErrorRate", expr='rate(http_requests_total{status=~"5.."}[5m]) > 0.05',
        for_=300.0, severity="critical",
    ),
)  # fmt: skip


@pytest.fixture
async def store():
    async with running(MemoryStore()) as store:
        yield store


async def test_a_burning_goal_pages_once_and_is_resolved_once(store, autojump_clock):
    node = Node(store, Trace(slos=SLOS, notify=NOTIFY))
    async with node.open() as alerting:
        await node.traffic(3600)
        assert node.pager.came == []
        (goal,) = alerting.goals()
        assert (goal["state"], goal["budget_remaining"]) == ("fine", 1.0)
        await node.traffic(600, bad=5)
        assert node.pager.told() == [("cortex-availability", "page", "firing")]
        (goal,) = alerting.goals()
        assert goal["state"] == "page"
        assert b'mnedge_alert_firing{alert="cortex-availability",severity="page"} 1' in (
            node.registry.exposition()
        )
        await node.traffic(3600)
        assert node.pager.told()[1:] == [("cortex-availability", "page", "resolved")]


async def test_an_alert_fires_after_its_time_and_survives_a_restart(store, autojump_clock):
    node = Node(store, Trace(alerts=ALERTS, notify=NOTIFY))
    async with node.open() as alerting:
        await node.traffic(60)
        await node.traffic(240, bad=5)
        assert node.pager.came == []
        assert alerting.alerts()["data"][0]["state"] == "pending"
        await node.traffic(240, bad=5)
        assert node.pager.told() == [("HighErrorRate", "critical", "firing")]
    async with node.open() as alerting:
        await node.traffic(240, bad=5)
        assert len(node.pager.came) == 1, "not told again"
        await node.traffic(600)
        assert node.pager.told()[1:] == [("HighErrorRate", "critical", "resolved")]
        assert await store.table.scan("alert/") == []


async def test_a_restart_without_load_resolves_only_when_the_range_is_full(store, autojump_clock):
    node = Node(store, Trace(alerts=ALERTS, notify=NOTIFY))
    async with node.open():
        await node.traffic(900, bad=5)
        assert len(node.pager.came) == 1
    async with node.open():
        await trio.sleep(290)
        assert len(node.pager.came) == 1
        await trio.sleep(120)
        assert node.pager.told()[-1][2] == "resolved"


async def test_what_was_counted_is_there_after_a_restart(store, autojump_clock):
    node = Node(store, Trace(slos=SLOS, notify=NOTIFY))
    async with node.open() as alerting:
        await node.traffic(1800, bad=1)
        (before,) = alerting.goals()
    async with node.open() as alerting:
        await trio.sleep(30)
        (after,) = alerting.goals()
    assert (after["good"], after["bad"]) == (before["good"], before["bad"])
    rows = await store.table.scan("slo/cortex-availability/")
    assert len(rows) in (1, 2)


async def test_an_idle_node_writes_nothing(store, autojump_clock):
    node = Node(store, Trace(slos=SLOS, alerts=ALERTS, notify=NOTIFY))
    async with node.open():
        await trio.sleep(86_400)
    assert await store.table.scan("") == []


async def test_with_nothing_configured_it_sleeps_and_a_reload_wakes_it(store, autojump_clock):
    node = Node(store, Trace())
    async with node.open() as alerting:
        ticks = []
        tick = alerting.tick

        async def counted():
            ticks.append(now())
            await tick()

        alerting.tick = counted
        await trio.sleep(86_400)
        assert ticks == []
        node.trace = Trace(slos=SLOS, notify=NOTIFY)
        alerting.reload()
        await trio.sleep(61)
        assert len(ticks) == 5
        assert [goal["name"] for goal in alerting.goals()] == ["cortex-availability"]


async def test_silence_is_kept_and_ends(store, autojump_clock):
    node = Node(store, Trace(slos=SLOS, notify=NOTIFY))
    async with node.open() as alerting:
        silence = await alerting.silence("cortex-availability", 3600, by="me", reason="works")
        assert silence.until == now() + 3600
        await node.traffic(900, bad=5)
        assert node.pager.came == []
        assert alerting.alerts()["data"][0]["silenced_until"] == silence.until
    async with node.open() as alerting:
        await node.traffic(900, bad=5)
        assert node.pager.came == []
        await alerting.silence("cortex-availability", 0)
        await node.traffic(60, bad=5)
        assert node.pager.told() == [("cortex-availability", "page", "firing")]
        with pytest.raises(UsageError):
            await alerting.silence("cortex-availability", -1)
        with pytest.raises(AlertUnknownError):
            await alerting.silence("nothing", 5)


async def test_a_pager_that_is_away_gets_it_later_and_that_is_said(store, autojump_clock):
    node = Node(store, Trace(slos=SLOS, notify=NOTIFY))
    node.pager.away = True
    async with node.open() as alerting:
        await node.traffic(600, bad=5)
        waiting, *_ = alerting.alerts()["undelivered"]
        assert waiting["error"] == "away"
        assert any("could not be sent" in text for _, text in node.said)
        node.pager.away = False
        await node.traffic(600, bad=5)
        assert node.pager.told() == [("cortex-availability", "page", "firing")]
        assert alerting.alerts()["undelivered"] == []


async def test_a_trial_goes_out_at_once_and_says_what_became_of_it(store, autojump_clock):
    node = Node(store, Trace(alerts=ALERTS, notify=NOTIFY))
    async with node.open() as alerting:
        assert await alerting.test("HighErrorRate", by="me") == [
            {"channel": "phone", "sent": True, "error": None}
        ]
        assert node.pager.came[0].kind == "test"
        node.pager.away = True
        (result,) = await alerting.test("HighErrorRate")
        assert result["error"] == "away"


async def test_latency_and_job_success_are_counted(store, autojump_clock):
    slos = (
        Slo(name="relay-p95-latency", target="500ms", window=86400.0),
        Slo(name="neuron-job-success-rate", target="99.5%", window=7 * 86400.0),
    )
    node = Node(store, Trace(slos=slos))
    async with node.open() as alerting:
        for took_s in (0.1, 0.5, 0.51, 3.0):
            node.http.answered("GET", "/a", 200, took_s)
        results = node.registry.counter("mnedge_job_results_total", "x", ["result"])
        results.add(3, "completed")
        results.add(1, "failed")
        await trio.sleep(30)
        latency, success = alerting.goals()
    assert (latency["good"], latency["bad"]) == (2, 2)
    assert (success["good"], success["bad"]) == (3, 1)


async def test_what_makes_no_sense_is_told_and_the_rest_goes_on(store, autojump_clock):
    alerts = (Alert(name="fancy", expr="histogram_quantile(0.9, a) > 1"), *ALERTS)
    node = Node(store, Trace(slos=(Slo(name="what", target="1%"),), alerts=alerts, notify=NOTIFY))
    async with node.open() as alerting:
        await node.traffic(900, bad=5)
        assert len(node.pager.came) == 1
        assert len([problem for problem in alerting.problems() if "Prometheus only" in problem])
        assert any("what" in text for _, text in node.said)
