import msgspec
import pytest

from mnedge.gateway.llm.mock import answer, pieces

CHAT = "/v1/chat/completions"
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "How high is the tide?"}]}


def test_the_same_request_gives_the_same_answer_whatever_the_order_of_its_members():
    turned = dict(reversed(list(REQUEST.items())))
    assert answer(CHAT, REQUEST) == answer(CHAT, turned)
    assert answer(CHAT, REQUEST) != answer(CHAT, REQUEST | {"temperature": 1})


def test_a_stream_says_what_the_whole_answer_says():
    whole = answer(CHAT, REQUEST)["choices"][0]["message"]["content"]
    said = [piece["choices"][0]["delta"].get("content", "") for piece in pieces(CHAT, REQUEST)]
    assert "".join(said) == whole


def test_usage_comes_at_the_end_of_a_stream_that_asks_for_it():
    asked = REQUEST | {"stream_options": {"include_usage": True}}
    *_, last = pieces(CHAT, asked)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > 0


def test_json_is_answered_with_json():
    said = answer(CHAT, REQUEST | {"response_format": {"type": "json_object"}})
    packet = msgspec.json.decode(said["choices"][0]["message"]["content"])
    assert packet["provider"] == "fake"
    assert packet["confidence"] == 0.74


def test_plain_completions_have_their_own_shape():
    said = answer("/v1/completions", {"prompt": "x"})
    assert said["object"] == "text_completion"
    assert said["choices"][0]["text"]
    assert "".join(one["choices"][0]["text"] for one in pieces("/v1/completions", {"prompt": "x"}))


@pytest.mark.parametrize("wanted, width", [(None, 8), (3, 3), (10**9, 4096), (0, 8)])
def test_embeddings_are_unit_vectors_of_the_width_asked_for(wanted, width):
    request = {"input": ["a", "b"]} | ({} if wanted is None else {"dimensions": wanted})
    first, second = (one["embedding"] for one in answer("/v1/embeddings", request)["data"])
    assert len(first) == width
    assert first != second
    assert sum(number * number for number in first) == pytest.approx(1, abs=1e-3)
