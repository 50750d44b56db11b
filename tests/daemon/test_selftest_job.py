"""The judgement of the self-test: every way in which a job may have gone wrong is seen."""

import json

import pytest

from mnedge.bundle.load import open_bundle
from mnedge.daemon import selftest_job as job
from mnedge.model.facts import AttemptEnded, Outcome, Recovered, Submitted
from mnedge.model.states import OutcomeStatus

JOB_ID = "selftest-1"
GOOD = Outcome(status=OutcomeStatus.SUCCEEDED)


def ended(agent, launch=1):
    return AttemptEnded(at=1.0, attempt_id=f"{agent}:1", launch=launch, outcome=GOOD)


def history():
    facts = [Submitted(at=0.0), Recovered(at=0.5)]
    facts += [ended(agent, 2 if agent == job.HELD else 1) for agent in job.WORKERS]
    effects = [f"selftest-1/{agent}:1/1" for agent in job.WORKERS]
    return facts, [*effects, f"selftest-1/{job.HELD}:1/2"]


def test_a_run_that_was_cut_once_is_as_it_should_be():
    assert job.wrong_effects(JOB_ID, *history()) == []


def test_an_effect_that_is_missing_is_named():
    facts, effects = history()
    effects.remove("selftest-1/first:1/1")
    assert job.wrong_effects(JOB_ID, facts, effects) == ["selftest-1/first:1/1 left no effect"]


def test_an_effect_that_came_twice_is_named():
    facts, effects = history()
    wrong = job.wrong_effects(JOB_ID, facts, [*effects, "selftest-1/last:1/1"])
    assert wrong == ["selftest-1/last:1/1 had an effect too often"]


def test_the_cut_launch_must_have_happened():
    facts, effects = history()
    effects.remove(f"selftest-1/{job.HELD}:1/1")
    assert job.wrong_effects(JOB_ID, facts, effects) == [
        f"selftest-1/{job.HELD}:1/1 left no effect"
    ]


def test_nobody_taking_the_job_up_again_is_no_recovery():
    facts, effects = history()
    facts = [fact for fact in facts if not isinstance(fact, Recovered)]
    assert "taken up again 0 times" in job.wrong_effects(JOB_ID, facts, effects)[0]


def test_a_cut_launch_that_kept_its_number_is_seen():
    facts, effects = history()
    facts = [*(f for f in facts if getattr(f, "launch", 1) == 1), ended(job.HELD)]
    assert "launched twice" in job.wrong_effects(JOB_ID, facts, effects)[0]


def test_a_finished_attempt_that_ran_again_is_seen():
    facts, effects = history()
    facts = [*(f for f in facts if f != ended("first")), ended("first", 2)]
    wrong = job.wrong_effects(JOB_ID, facts, [*effects, "selftest-1/first:1/2"])
    assert wrong == ["selftest-1/first:1/1 had an effect too often"]


@pytest.mark.parametrize(
    "numbers, said",
    [
        ([], "no events"),
        ([1, 3], "1, 3"),
        ([1, 2, 2], "1, 2, 2"),
        ([2, 3], "2, 3"),
    ],
)
def test_events_are_numbered_from_one_without_gaps(numbers, said):
    assert said in job.gaps(numbers)[0]
    assert job.gaps([1, 2, 3]) == []


def test_the_held_launch_is_known_by_its_effect():
    assert not job.is_held("selftest-1/first:1/1\n")
    assert not job.is_held(f"selftest-1/{job.HELD}:1/2\n")
    assert job.is_held(f"selftest-1/first:1/1\nselftest-1/{job.HELD}:1/1\n")


def test_the_bundle_is_a_valid_one(tmp_path):
    for name, content in job.files("/nowhere").items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    with open_bundle(tmp_path) as bundle:
        assert bundle.errors == []
