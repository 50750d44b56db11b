"""The tables of statuses are complete and end where they should."""

from mnedge.model.states import JOB_MOVES, TERMINAL, JobStatus


def test_every_status_has_its_moves():
    assert set(JOB_MOVES) == set(JobStatus)


def test_nothing_leaves_a_terminal_status():
    assert all(JOB_MOVES[status] == frozenset() for status in TERMINAL)


def test_every_living_status_can_be_cancelled_and_can_fail():
    for status in set(JobStatus) - TERMINAL:
        assert {JobStatus.CANCELLED, JobStatus.FAILED} <= JOB_MOVES[status]


def test_every_status_can_be_reached():
    reached, waiting = {JobStatus.PENDING}, [JobStatus.PENDING]
    while waiting:
        new = JOB_MOVES[waiting.pop()] - reached
        reached |= new
        waiting += new
    assert reached == set(JobStatus)
