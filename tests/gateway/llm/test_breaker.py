from mnedge.config.settings import Breaker as Settings
from mnedge.gateway.llm.breaker import Breaker

SETTINGS = Settings(failures=3, window=10.0, open=5.0)


def failed(times):
    breaker = Breaker(SETTINGS)
    return breaker, [breaker.failed(at) for at in times]


def test_it_opens_after_enough_failures_within_the_window():
    breaker, opened = failed([0.0, 1.0, 2.0])
    assert opened == [False, False, True]
    assert breaker.waits_s(2.0) == 5.0
    assert breaker.waits_s(6.5) == 0.5
    assert breaker.state(3.0) == "open"


def test_failures_that_lie_apart_open_nothing():
    breaker, opened = failed([0.0, 6.0, 11.0])
    assert opened == [False, False, False]
    assert breaker.waits_s(11.0) == 0.0


def test_after_the_pause_one_caller_tries_and_the_others_wait():
    breaker, _ = failed([0.0, 0.0, 0.0])
    assert breaker.state(5.0) == "half-open"
    assert breaker.waits_s(5.0) == 0.0
    assert breaker.waits_s(5.0) > 0
    breaker.succeeded()
    assert breaker.state(5.0) == "closed"
    assert breaker.waits_s(5.0) == 0.0


def test_a_try_that_fails_opens_it_again_without_telling_it_twice():
    breaker, _ = failed([0.0, 0.0, 0.0])
    assert breaker.waits_s(5.0) == 0.0
    assert breaker.failed(5.5) is False
    assert breaker.waits_s(6.0) == 4.5


def test_a_try_whose_caller_went_away_leaves_the_next_one_its_turn():
    breaker, _ = failed([0.0, 0.0, 0.0])
    assert breaker.waits_s(5.0) == 0.0
    breaker.gave_up()
    assert breaker.waits_s(5.1) == 0.0
