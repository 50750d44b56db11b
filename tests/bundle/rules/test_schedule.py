"""Schedules that never come due."""

import pytest

from mnedge.bundle.rules import schedule
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def planned(**changes):
    return lambda p: p.manifest.update(schedule=changes)


CASES = [
    Case("R-08", lambda p: p.manifest.update(schedule=[]), "schedule", "must be an object"),
    Case(
        "R-08",
        planned(kind="sometimes", cron="* * * * *"),
        "schedule.kind",
        "kind of schedule",
        ["periodic", "delayed", "event"],
    ),
    Case("R-08", planned(cron="61 * * * *"), "schedule.cron", "not within 0 to 59"),
    Case("R-08", planned(crons=["* * * *"]), "schedule.crons", "five fields"),
    Case("R-08", planned(cron=5), "schedule.cron", "must be a text"),
    Case("R-08", planned(kind="periodic"), "schedule.cron", "is required"),
    Case("R-08", planned(run_at="tomorrow"), "schedule.run_at", "must be a moment"),
    Case("R-08", planned(delay_ms=-1), "schedule.delay_ms", "at least 0"),
    Case("R-08", planned(delay_ms=1, catchup_limit="x"), "schedule.catchup_limit", "whole number"),
    Case("R-08", planned(delay_ms=1, timezone="Mars/Olympus"), "schedule.timezone", "time zone"),
    Case(
        "R-08",
        planned(delay_ms=1, missed_policy="cry"),
        "schedule.missed_policy",
        "a policy",
        ["skip", "catchup_one", "catchup_all"],
    ),
    Case("R-08", planned(delay_ms=1, enabled="yes"), "schedule.enabled", "must be a boolean"),
    Case("R-08", planned(delay_ms=1, window={"duration_ms": 0}), "schedule.window", "above 0"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(schedule, CASES)


@pytest.mark.parametrize(
    "cron", ["* * * * *", "0 2 * * *", "*/5 0-6,22 1,15 1-12/2 7", "@daily", "@annually"]
)
def test_cron_expressions_of_the_standard_are_read(cron):
    assert schedule.cron_problem(cron) == ""


@pytest.mark.parametrize(
    "cron", ["", "@reboot", "a b c d e", "5-1 * * * *", "*/0 * * * *", "* * 0 * *", "* * * * 8"]
)
def test_other_cron_expressions_are_refused(cron):
    assert schedule.cron_problem(cron)


def test_the_schedule_of_the_manual_is_right():
    parts = Parts()
    parts.manifest["schedule"] = {
        "kind": "periodic",
        "crons": ["0 2 * * *"],
        "timezone": "UTC",
        "prohibit_overlap": True,
        "missed_policy": "skip",
        "window": {"duration_ms": 1000, "end_action": "cancel"},
    }
    assert parts.opened("strict").problems == []


def test_a_moment_is_an_iso_time():
    parts = Parts()
    parts.manifest["schedule"] = {"kind": "delayed", "run_at": "2026-07-01T09:00:00Z"}
    assert parts.opened("strict").problems == []
