"""Whether a program proves itself: looks in, a verdict out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.updates.proof import Expected, Proof, Seen, Verdict

EXPECTED = Expected(version="2", key="k", statuses=("ok",))


def judged(*looks, timeout_s=10.0, settle_s=3.0, expected=EXPECTED):
    """Return the verdict and the number of the look that brought it."""
    proof = Proof(expected, timeout_s=timeout_s, settle_s=settle_s)
    for number, look in enumerate(looks):
        if (verdict := proof.judged(look)) is not None:
            return verdict, number
    return None, len(looks)


def well(at, **changed):
    return Seen(**{"at": float(at), "version": "2", "status": "ok", "key": "k"} | changed)


def away(at, **changed):
    return Seen(at=float(at), **changed)


def test_who_stays_well_is_good():
    assert judged(away(0), well(1), well(2), well(3), well(4)) == (Verdict(True), 4)


def test_who_is_well_only_at_times_has_to_begin_again():
    looks = [away(0), well(1), away(2), well(3), well(4), well(5), well(6)]
    assert judged(*looks) == (Verdict(True), 6)


def test_who_becomes_well_at_the_last_moment_may_settle():
    looks = [away(0), well(9), well(10), well(11), well(12)]
    assert judged(*looks) == (Verdict(True), 4)


@pytest.mark.parametrize(
    "looks, why",
    [
        ([away(n) for n in range(20)], "not well after 10 s: it does not answer"),
        ([well(n, status="degraded") for n in range(20)], "it says 'degraded'"),
        ([away(0, restarts=1), away(1, restarts=4)], "it ended 3 times"),
        ([away(0), *[away(n, failed=True) for n in (1, 2, 3)]], "gave it up"),
        ([well(0, version="1")], "mnedge 1 answers where 2 should"),
        ([well(0, key="other")], "another build of 2"),
        (
            [away(n, restarts=n // 6) for n in range(20)],
            "it does not answer; it ended 1 times",
        ),
    ],
)
def test_who_is_not_well_is_bad(looks, why):
    verdict, _ = judged(*looks)
    assert verdict is not None
    assert not verdict.good
    assert why in verdict.why


def test_restarts_before_the_trial_do_not_count():
    assert judged(away(0, restarts=90), well(1, restarts=91), well(5, restarts=91)) == (
        Verdict(True),
        2,
    )


def test_who_was_given_up_before_its_start_began_is_waited_for():
    looks = [away(0, failed=True), away(1, failed=True), well(2), well(3), well(4), well(5)]
    assert judged(*looks) == (Verdict(True), 5)


def test_what_ailed_before_may_ail_after():
    expected = Expected(version="2", statuses=("ok", "degraded"))
    looks = [well(n, status="degraded", key="") for n in range(5)]
    assert judged(*looks, expected=expected) == (Verdict(True), 3)


def test_without_settling_one_good_look_is_enough():
    assert judged(away(0), well(1), settle_s=0.0) == (Verdict(True), 1)


LOOK = st.builds(
    lambda version, status, restarts, failed: {
        "version": version, "status": status, "restarts": restarts, "failed": failed
    },
    st.sampled_from([None, "2", "2", "2", "1"]),
    st.sampled_from(["ok", "ok", "degraded"]),
    st.integers(0, 1),
    st.sampled_from([False] * 9 + [True]),
)  # fmt: skip


@given(st.lists(LOOK, min_size=14, max_size=30))
def test_there_is_a_verdict_in_time_and_a_good_one_only_for_who_was_well_throughout(told):
    looks = [Seen(at=float(number), **look) for number, look in enumerate(told)]
    verdict, at = judged(*looks)
    assert verdict is not None
    assert at <= 13
    if verdict.good:
        assert all(look.version == "2" and look.status == "ok" for look in looks[at - 3 : at + 1])
