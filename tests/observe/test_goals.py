"""What goals count, and how they are read."""

from mnedge.observe.goals import counted_so_far, shown_goal, span_text
from mnedge.observe.metrics import Registry
from mnedge.observe.slo import Counts, Goal


def test_durations_are_written_as_people_do():
    assert [span_text(s) for s in (60, 300, 3600, 86400 * 3, 90, 0.5, 20160)] == [
        "1m", "5m", "1h", "3d", "90s", "0.5s", "5h36m",
    ]  # fmt: skip


def test_requests_for_models_are_no_part_of_a_nodes_availability():
    registry = Registry()
    requests = registry.counter("http_requests_total", "Requests.", ["route", "status"])
    requests.add(7, "/api/v1/jobs", 200)
    requests.add(2, "/api/v1/jobs", 503)
    requests.add(9, "/v1/chat/completions", 502)
    goal = Goal(name="up", sli="availability", target=0.99)
    assert counted_so_far(goal, registry) == Counts(7, 2)


def test_a_job_that_failed_by_itself_counts_against_the_goal():
    registry = Registry()
    results = registry.counter("mnedge_job_results_total", "Jobs.", ["result"])
    results.add(3, "completed")
    results.add(1, "failed")
    assert counted_so_far(Goal(name="jobs", sli="job-success", target=0.9), registry) == (3, 1)


def test_a_request_is_in_time_if_its_bucket_says_so():
    registry = Registry()
    took = registry.histogram("http_request_duration_seconds", "Took.", (0.1, 0.5, 1.0), ["route"])
    for seconds in (0.05, 0.4, 0.7, 3.0):
        took.observe(seconds, "/api/v1/jobs")
    goal = Goal(name="fast", sli="latency", target=0.95, threshold_s=0.5)
    assert counted_so_far(goal, registry) == (2, 2)


def test_a_goal_that_nothing_was_counted_for_is_shown_as_unknown():
    shown = shown_goal(Goal(name="up", sli="availability", target=0.99, window_s=604800), None)
    assert (shown["state"], shown["window"], shown["threshold_s"]) == ("unknown", "7d", None)
