import pytest

from mnedge.gateway.llm.usage import Usage, estimated, text_bytes, told


def test_what_the_upstream_says_counts():
    said = {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}
    assert told(said) == Usage(prompt=3, completion=4)
    assert told({"usage": {"prompt_tokens": 3}}) == Usage(prompt=3)


@pytest.mark.parametrize("answer", [None, {}, {"usage": None}, {"usage": {"prompt_tokens": "3"}}])
def test_what_says_nothing_is_none(answer):
    assert told(answer) is None


def test_an_estimate_is_marked_so():
    assert estimated(9, 4) == Usage(prompt=3, completion=1, estimated=True)
    assert estimated(9, 4).total == 4


def test_texts_are_counted_wherever_they_lie():
    assert text_bytes([{"role": "user", "content": [{"text": "äb"}]}, 3, None]) == 4 + 3
