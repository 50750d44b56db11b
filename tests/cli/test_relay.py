import pytest


@pytest.mark.parametrize("words", [("adapters",), ("usage",), ("test", "a")])
def test_without_a_daemon_there_is_nobody_to_ask(mnedge, words):
    told = mnedge("relay", *words, code=1)
    assert "no daemon runs here" in told.err
    assert "mnedge daemon" in told.err


def test_days_of_usage_have_bounds(mnedge):
    assert "0" in mnedge("relay", "usage", "--days", "0", code=2).err
