"""`job dead-letters`: the words, and what is refused."""

import pytest


@pytest.mark.parametrize("verb", ["redrive", "discard"])
def test_one_letter_is_named_or_all(mnedge, verb):
    for words in ([], ["m", "--all"]):
        told = mnedge("job", "dead-letters", verb, "x", *words, code=2)
        assert "name a message, or give --all" in told.err


def test_a_job_that_does_not_exist_has_none(mnedge):
    assert "no job begins with 'x'" in mnedge("job", "dead-letters", "list", "x", code=2).err
    assert "no job begins with 'x'" in mnedge("job", "dead-letters", "show", "x", "m", code=2).err
