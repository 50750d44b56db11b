import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mnedge.observe.metrics import OTHER, Registry, number


def scraped(registry):
    families = list(text_string_to_metric_families(registry.exposition().decode()))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }, {family.name: (family.type, family.documentation) for family in families}


def test_what_is_counted_is_read_by_prometheus_own_parser():
    registry = Registry()
    jobs = registry.counter("jobs_total", "Jobs.", ["status"])
    jobs.add(1, "completed")
    jobs.add(2, "completed")
    jobs.add(1, "failed")
    registry.gauge("slots", "Slots\nof a \\pool.", ["pool"]).set(2.5, "default")
    values, families = scraped(registry)
    assert values[("jobs_total", (("status", "completed"),))] == 3
    assert values[("jobs_total", (("status", "failed"),))] == 1
    assert values[("slots", (("pool", "default"),))] == 2.5
    assert families["jobs"] == ("counter", "Jobs.")
    assert families["slots"] == ("gauge", "Slots\nof a \\pool.")


def test_a_figure_without_labels_is_there_from_the_beginning():
    registry = Registry()
    registry.counter("nothing_total", "Nothing yet.")
    registry.histogram("times_seconds", "Nothing yet.", [1.0])
    values, _ = scraped(registry)
    assert values[("nothing_total", ())] == 0
    assert values[("times_seconds_count", ())] == 0


def test_buckets_hold_all_that_is_smaller_or_equal():
    registry = Registry()
    times = registry.histogram("times_seconds", "Times.", [1.0, 0.1], ["route"])
    for value in (0.05, 0.1, 0.5, 7.0):
        times.observe(value, "/a")
    values, _ = scraped(registry)

    def bucket(le):
        return values[("times_seconds_bucket", (("le", le), ("route", "/a")))]

    assert [bucket(le) for le in ("0.1", "1", "+Inf")] == [2, 3, 4]
    assert values[("times_seconds_count", (("route", "/a"),))] == 4
    assert values[("times_seconds_sum", (("route", "/a"),))] == pytest.approx(7.65)


@given(st.text(max_size=20))
def test_any_label_value_comes_back_as_it_was(text):
    registry = Registry()
    registry.counter("any_total", "Any.", ["label"]).add(1, text)
    exposed = registry.exposition().decode()
    assert exposed.count("\n") == exposed.count("# ") + 2, "one line for each series"
    if "\r" not in text and not set(text) & set("\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        values, _ = scraped(registry)
        assert values[("any_total", (("label", text),))] == 1


def test_too_many_series_are_counted_under_other_and_said_once():
    registry = Registry(most_series=10)
    seen = registry.counter("seen_total", "Seen.", ["who"])
    for name in range(50):
        seen.add(1, name)
        seen.add(1, name)
    values, _ = scraped(registry)
    kept = {labels[0][1]: value for (name, labels), value in values.items() if name == "seen_total"}
    assert len(kept) <= 11
    assert kept["0"] == 2
    assert sum(kept.values()) == 100
    assert kept[OTHER] == 100 - 2 * (len(kept) - 1)
    assert values[("mnedge_metrics_overflown", ())] == 1


def test_a_number_and_its_text_are_the_same_label():
    registry = Registry(most_series=3)
    seen = registry.counter("seen_total", "Seen.", ["status"])
    for _ in range(20):
        seen.add(1, 200)
        seen.add(1, "200")
    assert seen.value("200") == 40
    values, _ = scraped(registry)
    assert values[("mnedge_metrics_overflown", ())] == 0


def test_gauges_can_be_asked_for_and_one_that_breaks_hides_no_other():
    registry = Registry()
    free = {("a",): 1.0, ("b",): 2.0}
    registry.gauge("free", "Free.", ["pool"]).asked(lambda: free)

    def breaks():
        raise OSError("no such thing")

    registry.gauge("broken", "Broken.").asked(breaks)
    registry.gauge("later", "Later.").set(1)
    assert scraped(registry)[0][("free", (("pool", "b"),))] == 2
    del free[("b",)]
    values, families = scraped(registry)
    assert ("free", (("pool", "b"),)) not in values
    assert ("broken", ()) not in values
    assert values[("later", ())] == 1
    assert set(families) >= {"free", "broken", "later"}


def test_a_counter_that_somebody_else_keeps_is_a_counter():
    registry = Registry()
    registry.asked_counter("used_total", "Used.", lambda: {(): 7.0})
    values, families = scraped(registry)
    assert values[("used_total", ())] == 7
    assert families["used"][0] == "counter"


def test_the_same_name_is_the_same_figure_and_cannot_change_its_kind():
    registry = Registry()
    assert registry.counter("a_total", "A.", ["x"]) is registry.counter("a_total", "A.", ["x"])
    with pytest.raises(TypeError, match="a_total"):
        registry.gauge("a_total", "A.", ["x"])
    with pytest.raises(TypeError, match="a_total"):
        registry.counter("a_total", "A.", ["y"])


def test_a_wrong_number_of_labels_is_an_error_of_the_caller():
    with pytest.raises(TypeError, match="labels"):
        Registry().counter("a_total", "A.", ["x"]).add(1, "a", "b")


def test_figures_are_gathered_before_they_are_read():
    registry = Registry()
    gauge = registry.gauge("g", "G.")
    registry.before_scrape.append(lambda: gauge.set(7))
    assert scraped(registry)[0][("g", ())] == 7
    assert [s.value for s in registry.samples(["g"])] == [7]
    assert registry.as_json()["g"]["samples"] == [{"name": "g", "labels": {}, "value": 7}]


@pytest.mark.parametrize(
    "value, text",
    [(1.0, "1"), (0.1, "0.1"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"),
     (1e300, "1e+300")],
)  # fmt: skip
def test_numbers_are_written_as_prometheus_does(value, text):
    assert number(value) == text
