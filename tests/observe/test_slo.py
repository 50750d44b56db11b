import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.config.settings import Slo
from mnedge.observe.slo import (
    Buckets,
    Counts,
    Goal,
    Judge,
    SloInvalidError,
    burn_rate,
    goal_of,
    pairs_of,
)

DAY = 86400.0
T0 = 1_700_000_000.0 // 300 * 300


def availability(**more):
    return Goal(**({"name": "a", "sli": "availability", "target": 0.999} | more))


def test_the_seeds_goals_are_understood():
    goals = [
        goal_of(Slo(name="cortex-availability", target="99.9%", window=30 * DAY)),
        goal_of(Slo(name="neuron-job-success-rate", target="99.5%", window=7 * DAY)),
        goal_of(Slo(name="relay-p95-latency", target="500ms", window=DAY)),
    ]
    assert [(g.sli, round(g.target, 6), g.threshold_s) for g in goals] == [
        ("availability", 0.999, 0.0), ("job-success", 0.995, 0.0), ("latency", 0.95, 0.5),
    ]  # fmt: skip
    assert goals[1].budget == pytest.approx(0.005)


@pytest.mark.parametrize(
    "slo, target, threshold",
    [
        (Slo(name="x-availability", target="0.999"), 0.999, 0.0),
        (Slo(name="x-p999-latency", target="2s"), 0.999, 2.0),
        (Slo(name="x-p99.5", target="1m"), 0.995, 60.0),
        (Slo(name="slow", sli="latency", percentile=50, target="1.5s"), 0.5, 1.5),
    ],
)
def test_targets_are_shares_or_durations(slo, target, threshold):
    goal = goal_of(slo)
    assert (goal.target, goal.threshold_s) == (pytest.approx(target), threshold)


@pytest.mark.parametrize(
    "slo",
    [
        Slo(name="what", target="99%"),
        Slo(name="a-availability", target="500ms"),
        Slo(name="relay-p95-latency", target="99%"),
        Slo(name="latency", target="500ms"),
        Slo(name="a-availability", target="100%"),
        Slo(name="a-availability", target="0"),
        Slo(name="a-availability", target="ninety"),
        Slo(name="a-availability", sli="weather", target="99%"),
    ],
)
def test_a_goal_that_makes_no_sense_is_refused_with_a_hint(slo):
    with pytest.raises(SloInvalidError) as raised:
        goal_of(slo)
    assert raised.value.hint


def test_windows_are_those_of_the_platform_and_scale_with_the_goal():
    spans = [(p.severity, p.factor, p.long_s, p.short_s) for p in pairs_of(availability())]
    assert spans == [
        ("page", 14.4, 3600, 300), ("page", 6, 6 * 3600, 1800),
        ("ticket", 3, DAY, 7200), ("ticket", 1, 3 * DAY, 6 * 3600),
    ]  # fmt: skip
    week = pairs_of(availability(window_s=7 * DAY))
    assert week[1].long_s == pytest.approx(6 * 3600 * 7 / 30)
    day = pairs_of(availability(window_s=DAY))
    assert (day[0].long_s, day[0].short_s) == (300.0, 60.0), "floors"
    assert (day[3].long_s, day[3].short_s) == (pytest.approx(DAY / 10), pytest.approx(720.0))


def follow(goal, minutes, share_bad, per_step=10, step_s=15.0, start=T0, judge=None):
    """Return (judge, moment, what fired after each step)."""
    judge = judge or Judge(goal, Buckets())
    fired, at = [], start
    for _ in range(int(minutes * 60 / step_s)):
        at += step_s
        judge.buckets.add(at, Counts(per_step * (1 - share_bad), per_step * share_bad))
        fired.append(judge.verdict(at).severities())
    return judge, at, fired


def test_a_fast_burn_pages_and_clears_when_the_short_window_falls():
    goal = availability()
    judge, at, fired = follow(goal, 6 * 60, 0.0)
    assert not any(fired)
    judge, at, fired = follow(goal, 10, 0.10, start=at, judge=judge)
    first = next(n for n, f in enumerate(fired) if "page" in f)
    assert first + 1 == 35, "14.4 times a thousandth of an hour's 2400 events, one of each step"
    judge, at, fired = follow(goal, 10, 0.0, start=at, judge=judge)
    cleared = next(n for n, f in enumerate(fired) if "page" not in f)
    assert 200 < cleared * 15 < 300, "when the five minutes are clean enough"
    assert judge.verdict(at).pairs[0].fires is False


def test_a_slow_burn_is_a_ticket_never_a_page():
    goal = availability()
    _, _, fired = follow(goal, 60 * 30, 0.0035, per_step=100, step_s=60.0)
    assert {"ticket"} in fired
    assert not any("page" in f for f in fired)


def test_within_budget_nothing_fires():
    _, _, fired = follow(availability(), 60 * 24, 0.0005, per_step=100, step_s=60.0)
    assert not any(fired)


def test_few_events_page_nobody():
    goal = availability()
    judge = Judge(goal, Buckets())
    for n in range(9):
        judge.buckets.add(T0 + n, Counts(0, 1))
    assert "page" not in judge.verdict(T0 + 10).severities()
    judge.buckets.add(T0 + 11, Counts(0, 1))
    assert "page" in judge.verdict(T0 + 12).severities()


def test_an_empty_window_burns_nothing_and_spends_nothing():
    verdict = Judge(availability(), Buckets()).verdict(T0)
    assert verdict.ratio is None
    assert verdict.budget_left == 1.0
    assert not verdict.severities()


def test_the_budget_is_what_the_window_leaves():
    judge = Judge(availability(target=0.99), Buckets())
    judge.buckets.add(T0, Counts(995, 5))
    verdict = judge.verdict(T0 + 1)
    assert verdict.ratio == 0.995
    assert verdict.budget_left == pytest.approx(0.5)
    assert burn_rate(verdict.counts, judge.goal) == pytest.approx(0.5)


def test_what_fired_before_a_restart_clears_like_anything_else():
    judge = Judge(availability(), Buckets())
    judge.resume({"page"})
    assert not judge.verdict(T0).severities(), "nothing burns any more"
    judge.resume({"page"})
    judge.buckets.add(T0, Counts(0, 1))
    assert "page" in judge.verdict(T0 + 1).severities(), "it needs no ten events to go on"


@given(
    st.lists(st.tuples(st.integers(0, 40 * 86400), st.integers(0, 5), st.integers(0, 5)),
             max_size=60),
    st.sampled_from([60.0, 300.0, 3600.0, 6 * 3600.0, DAY, 30 * DAY]),
)  # fmt: skip
def test_windows_hold_what_is_in_them_to_the_width_of_a_bucket(events, window):
    buckets, at = Buckets(), T0
    for offset, good, bad in sorted(events):
        at = T0 + offset
        buckets.add(at, Counts(good, bad))
    width = buckets.bucket_s if window <= 6 * 3600 else buckets.coarse_s

    def inside(seconds):
        return sum(good + bad for offset, good, bad in events if T0 + offset > at - seconds)

    found = buckets.over(at, window)
    assert inside(window - width) <= found.total <= inside(window + width)


def test_buckets_come_back_after_a_restart():
    before = Buckets()
    for n in range(2000):
        before.add(T0 + n * 60, Counts(3, 1))
    at = T0 + 2000 * 60
    kept = {b: tuple(before.coarse(b)) for b in before.unsaved}
    after = Buckets()
    after.load(kept, at)
    assert after.over(at, 30 * DAY) == before.over(at, 30 * DAY)
    assert after.over(at, 3600).total == pytest.approx(before.over(at, 3600).total, rel=0.1)
    assert not after.unsaved, "what was loaded is not written again"


def test_buckets_are_bounded():
    buckets = Buckets()
    for n in range(40 * 288):
        buckets.add(T0 + n * 300, Counts(1, 0))
    assert len(buckets._fine) <= 6 * 12 + 1
    assert len(buckets._coarse) <= 35 * 288 + 1
