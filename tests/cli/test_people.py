"""`job requests|approve|reject|respond`: the words, and what is refused."""

import pytest


def test_where_nothing_waits_nobody_is_asked(mnedge):
    assert mnedge("job", "requests").out == "nobody is asked anything\n"
    assert mnedge("job", "requests", "--json").value == []


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_job_that_does_not_exist_is_not_answered(mnedge, verb):
    assert "no job begins with 'x'" in mnedge("job", verb, "x", code=2).err


def test_an_answer_needs_a_decision(mnedge):
    assert "--decision" in mnedge("job", "respond", "x", code=2).err


def test_a_value_must_be_json(mnedge):
    told = mnedge("job", "approve", "x", "--value", "{", code=2)
    assert "--value is not JSON" in told.err
