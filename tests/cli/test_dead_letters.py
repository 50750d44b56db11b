"""`job dead-letters`: the words, and what is refused."""

import pytest


@pytest.mark.parametrize("verb", ["redrive", "discard"])
def test_one_letter_is_named_or_all(mnedge, verb):
    for words in ([], ["m", "--all"]):
        told = mnedge("job", "dead-letters", verb, "x", *words, code=2)
        assert "name a message, or give --all" in told.err


@pytest.mark.parametrize("message", ["-wwt-FHX", "-oooooo", "--" + "x" * 41])
def test_an_id_that_begins_with_a_dash_is_no_option(mnedge, message):
    for words in (["show", "x", message], ["discard", "--timeout", "3", "x", message]):
        told = mnedge("job", "dead-letters", *words, code=2)
        assert "no job begins with 'x'" in told.err


@pytest.mark.parametrize("word", ["-w", "--tiemout", "--no-such-option"])
def test_an_option_that_there_is_not_is_told(mnedge, word):
    assert "no such option" in mnedge("job", "dead-letters", "show", "x", word, code=2).err


def test_options_are_options(mnedge):
    words = ("job", "dead-letters", "show", "x", "m")
    assert mnedge(*words, "-ondjson", code=2).err.startswith("{")
    assert "no job begins" in mnedge(*words, "--verbose", "--no-color", code=2).err


def test_a_job_that_does_not_exist_has_none(mnedge):
    assert "no job begins with 'x'" in mnedge("job", "dead-letters", "list", "x", code=2).err
    assert "no job begins with 'x'" in mnedge("job", "dead-letters", "show", "x", "m", code=2).err
