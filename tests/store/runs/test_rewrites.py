"""A file that others write to again and again is not written anew each time."""

from mnedge.store.runs.rewrites import AT_ONCE_BYTES, BYTES_PER_S, LONGEST_PAUSE_S, Rewrites


def test_small_files_are_written_anew_at_once_until_much_was_written():
    rewrites = Rewrites(lambda: 0.0)
    count = 0
    while rewrites.affords(10_000):
        rewrites.spend(10_000)
        count += 1
    assert count == AT_ONCE_BYTES // 10_000


def test_what_was_spent_comes_back_with_time_and_no_pause_is_longer_than_said():
    at = 0.0
    rewrites = Rewrites(lambda: at)
    for _ in range(5):
        rewrites.spend(10 << 20)
    assert not rewrites.affords(10 << 20)
    at = LONGEST_PAUSE_S - 0.1
    assert not rewrites.affords(10 << 20)
    at = LONGEST_PAUSE_S
    assert rewrites.affords(10 << 20)
    at += 10 * AT_ONCE_BYTES / BYTES_PER_S
    assert rewrites.affords(1)
    rewrites.spend(AT_ONCE_BYTES)
    assert not rewrites.affords(1)


def test_a_clock_that_goes_back_gives_and_takes_nothing():
    at = 100.0
    rewrites = Rewrites(lambda: at)
    rewrites.spend(AT_ONCE_BYTES)
    at = 0.0
    assert not rewrites.affords(1)
    at = 1.0
    assert rewrites.affords(BYTES_PER_S)
    assert not rewrites.affords(BYTES_PER_S + 1)
