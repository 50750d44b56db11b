import pytest

from mnedge.gateway.console.node_pages import (
    SAMPLE_S,
    SAMPLES,
    Line,
    alert_row,
    brief,
    devices_of,
    drawn,
    figure,
    goal_row,
    pools_of,
)
from mnedge.model.access import Scope
from mnedge.plugins.depot import Quarantine, depot_of
from tests.gateway.console.consoles import a_browser, words
from tests.gateway.console.test_job_pages import over
from tests.plugins.test_depot import record as a_record
from tests.runtime.rig import pipeline, submitted


@pytest.mark.drives("GET /")
async def test_the_overview_counts_and_lists(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        assert "Nothing runs." in words(await browser.get("/"))
        await submitted(browser.rig, pipeline())
        await over(browser.rig)
        told = words(await browser.get("/"))
        assert "1 completed" in told
        assert "job-1" in told
        assert "slots of default" in told


@pytest.mark.drives("GET /nodes")
@pytest.mark.drives("GET /resources")
@pytest.mark.drives("GET /slo")
async def test_the_node_tells_of_itself(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        assert "✓ healthy" in words(await browser.get("/nodes"))
        told = words(await browser.get("/resources"))
        assert "Memory in use" in told
        assert "0 of 4" in told
        assert "Plugins" not in told
        bad = Quarantine(reason="it hangs", stage="loop", at=0.0, program="1")
        with depot_of(browser.rig.config.data_dir).changing() as records:
            records["acme"] = a_record(quarantine=bad)
        assert "acme 1.0 quarantined it hangs" in words(await browser.get("/resources"))
        assert "Goals" in words(await browser.get("/slo"))


@pytest.mark.drives("GET /audit")
async def test_the_audit_record_is_for_those_with_the_scope(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        await browser.post("/theme", theme="dark")
        assert "Nothing has been changed yet." in words(await browser.get("/audit"))
    async with a_browser(tmp_path / "tcp", listener="http") as browser:
        issued = await browser.backend.tokens.issue("ci", Scope.OPERATE)
        browser.http.headers["authorization"] = f"Bearer {issued.token}"
        assert "takes the scope" in words(await browser.get("/audit", 403))


@pytest.mark.drives("POST /alerts/{name}/silence")
@pytest.mark.drives("POST /alerts/{name}/test")
async def test_an_alert_that_is_not_there_is_neither_silenced_nor_tested(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        await browser.post("/alerts/nothing/silence", 404)
        await browser.post("/alerts/nothing/test", 404)


def test_a_line_keeps_few_samples_and_draws_what_it_has():
    line = Line(name="Memory in use", whole=100.0)
    for number in range(3 * SAMPLES):
        line.add(number * SAMPLE_S, 50.0)
        line.add(number * SAMPLE_S + 1, 99.0)
    assert len(line.values) == SAMPLES
    shown = line.shown()
    assert shown["value"] == 50.0
    assert shown["path"].startswith("M0.0 ")
    assert shown["span"] == (SAMPLES - 1) * SAMPLE_S


def test_one_value_is_no_line():
    assert drawn([1.0], 0) == ("", "")
    assert drawn([0.0, 0.0], 0)[0]


def test_pools_and_figures_are_read_from_what_the_api_says():
    (pool,) = pools_of({"pools": {"gpu": {"capacity": 2, "in_use": 1}}})
    assert (pool["name"], pool["capacity"], pool["queued"]) == ("gpu", 2, 0)
    assert pools_of({}) == []
    assert figure({"m": {"samples": [{"value": 2}, {"value": 3.0}]}}, "m") == 5.0
    assert figure({"m": {"samples": []}}, "m") is None
    assert figure({}, "m") is None


GPU = {
    "id": "GPU-a", "kind": "gpu", "name": "H100", "path": "/dev/nvidia0", "driver": "cuda",
    "driver_version": "550", "memory_total_mb": 81920, "capabilities": ["gpu", "nvidia"],
    "healthy": True, "shares": 1, "in_use": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    "more,state",
    [
        ({}, "free"),
        ({"in_use": 1}, "lent 1 of 1"),
        ({"healthy": False, "in_use": 1}, "unhealthy"),
        ({"shares": 0}, "shown only"),
    ],
)
def test_devices_are_told_with_their_state(more, state):
    (row,) = devices_of({"devices": [{**GPU, **more}]})
    assert row["state"] == state
    assert (row["driver"], row["memory"]) == ("cuda 550", "80.0 GiB")
    assert devices_of({}) == []


def test_a_node_names_its_devices_and_leaves_the_rest_to_the_page_of_resources():
    node = {"name": "n", "devices": [GPU], "hardware": {"cpu": {}, "gpu": [GPU], "devices": [GPU]}}
    assert brief(node) == {"name": "n", "devices": ["gpu H100"], "hardware": {"cpu": {}}}


def test_a_goal_is_told_in_percent_and_in_counts():
    burn = [{"long": "1h", "long_rate": 2.5}, {"long": "6h", "long_rate": None}]
    row = goal_row(
        {
            "name": "jobs",
            "target": 0.995,
            "ratio": 0.9812,
            "good": 981,
            "bad": 19,
            "budget_remaining": -0.4,
            "burn": burn,
            "state": "page",
        }
    )
    assert (row["target"], row["ratio"], row["counts"]) == ("99.5 %", "98.12 %", "981, 19")
    assert (row["budget"], row["budget_share"]) == ("spent", 0.0)
    assert row["burn"] == "2.50 x over 1h"
    assert goal_row({"name": "new"})["budget_share"] is None


def test_an_alert_tells_what_it_looks_at():
    row = alert_row({"name": "a", "state": "pending", "instances": [{"labels": {"pool": "gpu"}}]})
    assert row["state"] == "about to fire"
    assert row["instances"] == ['{"pool": "gpu"}']
