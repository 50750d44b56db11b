import math

import pytest

from mnedge.observe.expressions import (
    ExpressionUnsupportedError,
    History,
    evaluated,
    extrapolated,
    parsed,
)
from mnedge.observe.metrics import Sample

HIGH_ERROR_RATE = 'rate(http_requests_total{status=~"5.."}[5m]) > 0.05'
GPU_MEMORY = "nvidia_gpu_memory_used_bytes / nvidia_gpu_memory_total_bytes > 0.95"


def history_of(expression, points, step_s=15.0):
    """points: (name, labels) → values, one each step."""
    history = History(expression.metrics, expression.range_s)
    length = max(map(len, points.values()))
    for number in range(length):
        samples = [
            Sample(name, dict(labels), values[number])
            for (name, labels), values in points.items()
            if number < len(values) and values[number] is not None
        ]
        history.take(number * step_s, samples)
    return history, (length - 1) * step_s


def result(text, points, step_s=15.0):
    expression = parsed(text)
    history, at = history_of(expression, points, step_s)
    return {tuple(v for _, v in labels): value
            for labels, value in evaluated(expression, history, at).items()}  # fmt: skip


def test_the_seeds_expressions_are_read():
    rate = parsed(HIGH_ERROR_RATE)
    assert (rate.left.first.function, rate.left.first.range_s) == ("rate", 300.0)
    assert rate.right.first.number == 0.05
    gpu = parsed(GPU_MEMORY)
    assert gpu.left.sign == "/"
    assert gpu.metrics == {"nvidia_gpu_memory_used_bytes", "nvidia_gpu_memory_total_bytes"}


def test_a_rate_is_per_series_and_only_those_over_the_threshold_count():
    bad = ("http_requests_total", (("route", "/a"), ("status", "503")))
    few = ("http_requests_total", (("route", "/b"), ("status", "500")))
    good = ("http_requests_total", (("route", "/a"), ("status", "200")))
    points = {bad: [n * 1.5 for n in range(21)], few: [n * 0.15 for n in range(21)],
              good: [n * 100 for n in range(21)]}  # fmt: skip
    assert result(HIGH_ERROR_RATE, points) == {("/a", "503"): pytest.approx(0.1)}


def test_two_gauges_are_divided_series_by_series():
    def gauge(name, gpu):
        return (f"nvidia_gpu_memory_{name}_bytes", (("gpu", gpu),))

    points = {gauge("used", "0"): [97], gauge("total", "0"): [100], gauge("used", "1"): [10],
              gauge("total", "1"): [100], gauge("used", "2"): [5], gauge("used", "3"): [5],
              gauge("total", "3"): [0]}  # fmt: skip
    found = result(GPU_MEMORY, points)
    assert found[("0",)] == pytest.approx(0.97)
    assert set(found) == {("0",), ("3",)}, "five over nothing is infinite, as for Prometheus"


STEP = 300.0
FOO = [10.0 * n for n in range(11)]
BAR = [10.0 * n for n in range(6)] + [10.0 * n for n in range(5)]
BUMMS = [1 + 10.0 * n for n in range(11)]


@pytest.mark.parametrize(
    "values, range_s, expected",
    [(FOO, 3000, 100), (BAR, 3000, 90), (BUMMS, 3000, 100), (FOO, 6000, 100), (BAR, 6000, 90),
     (BUMMS, 6000, 101)],
)  # fmt: skip
def test_growth_is_reckoned_as_by_prometheus(values, range_s, expected):
    window = [(n * STEP, value) for n, value in enumerate(values)]
    assert extrapolated(window, 3000 - range_s, 3000) == pytest.approx(expected)


def test_a_counter_that_appears_has_grown_from_zero_and_a_gauge_has_not():
    expression = parsed("increase(failed_total[5m]) > 0")
    history = History({"failed_total", "g"}, 300)
    history.take(1000, [])
    history.take(1015, [Sample("failed_total", {}, 1.0), Sample("g", {}, 1.0)])
    assert evaluated(expression, history, 1015) != {}
    assert evaluated(parsed("avg_over_time(g[5m]) < 1"), history, 1015) == {}
    history.take(1030, [Sample("failed_total", {}, 1.0)])
    assert evaluated(expression, history, 1030) != {}
    first = History({"failed_total"}, 300)
    first.take(1000, [Sample("failed_total", {}, 7.0)])
    first.take(1015, [Sample("failed_total", {}, 7.0)])
    assert evaluated(expression, first, 1015) == {}


def test_one_sample_is_no_rate():
    assert extrapolated([(1.0, 5.0)], 0, 10) is None
    assert result("rate(a_total[5m]) >= 0", {("a_total", ()): [1]}) == {}


def test_sums_keep_the_labels_that_are_asked_for():
    points = {
        ("a", (("job", "x"), ("pool", "1"))): [1],
        ("a", (("job", "y"), ("pool", "1"))): [2],
        ("a", (("job", "y"), ("pool", "2"))): [4],
    }
    assert result("sum(a) > 0", points) == {(): 7}
    assert result("sum by (pool) (a) > 0", points) == {("1",): 3, ("2",): 4}
    assert result("sum(a) by (job,) >= 6", points) == {("y",): 6}
    assert result('sum(a{job!="x"}) == 6', points) == {(): 6}
    assert result('a{job!~"x|y"} > 0', points) == {}
    assert result('a{job="x",pool=~"."} + 10 > 0', points) == {("x", "1"): 11}
    assert result("10 < a * 3", points) == {("y", "2"): 12}
    assert result("a - a == 0", points) == dict.fromkeys([("x", "1"), ("y", "1"), ("y", "2")], 0)


def test_an_average_over_time_and_an_increase():
    points = {("g", ()): [1, 2, 3, 6]}
    assert result("avg_over_time(g[1m]) > 0", points) == {(): 3}
    assert result("increase(g[45s]) > 4.9", points) == {(): pytest.approx(5)}


def test_nothing_divided_by_nothing_is_no_alert():
    points = {("a", ()): [0], ("b", ()): [0]}
    assert result("a / b > 0", points) == {}
    assert result("a / b < 1", points) == {}


def test_a_series_that_is_gone_is_gone_after_five_minutes():
    points = {("g", ()): [1] + [None] * 30, ("other", ()): [0] * 31}
    expression = parsed("g > 0")
    history = History({"g"}, 0)
    history.take(0, [Sample("g", {}, 1.0)])
    assert evaluated(expression, history, 299.0) == {(): 1.0}
    assert evaluated(expression, history, 301.0) == {}
    assert result("g > 0", points) == {}


def test_what_is_kept_is_bounded_by_the_range():
    history = History({"g"}, 600)
    for n in range(10_000):
        history.take(n * 15.0, [Sample("g", {}, float(n)), Sample("unasked", {}, 1.0)])
    (series,) = list(history.select(parsed("g > 0").left.first))
    assert len(series[1]) <= 42


@pytest.mark.parametrize(
    "text",
    [
        "",
        "up",
        "1 > 2",
        "rate(a[5m])",
        "rate(a) > 1",
        "rate(a[5]) > 1",
        "a > 1 and b > 2",
        "a + b + c > 1",
        "histogram_quantile(0.9, a) > 1",
        "a offset 5m > 1",
        "sum(sum(a)) > 1",
        "sum(1) > 0",
        "sum without (x) (a) > 0",
        "a{b} > 1",
        'a{b="c" > 1',
        'a{b=~"("} > 1',
        "a > bool 1",
        "a > 1 > 2",
        "a ; b > 1",
        "max(a) > 1",
        "5m > 1",
    ],
)
def test_the_rest_is_for_prometheus(text):
    with pytest.raises(ExpressionUnsupportedError) as raised:
        parsed(text)
    assert raised.value.message


def test_escapes_in_matchers_are_those_of_promql():
    points = {("a", (("p", "x.y"),)): [1], ("a", (("p", "xzy"),)): [1], ("a", (("p", 'q"'),)): [1]}
    assert set(result(r'a{p=~"x\\.y"} > 0', points)) == {("x.y",)}
    assert set(result(r'a{p="q\""} > 0', points)) == {('q"',)}


def test_infinity_is_over_every_threshold():
    assert result("a / b > 1e9", {("a", ()): [1], ("b", ()): [0]}) == {(): math.inf}
