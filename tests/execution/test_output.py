import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.execution.output import (
    TRIGGERS,
    activity,
    decoded,
    emission,
    hidden,
    named_event,
    protocol_line,
    said,
)
from mnedge.model.body import LEVELS
from mnedge.model.codec import decode_fact, encode_fact
from mnedge.model.facts import AttemptEnded, Completion, Emission, NamedEvent, Outcome
from mnedge.model.states import OutcomeStatus


def structured(**members):
    return said(json.dumps(members)).structured


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "hello",
        "[]",
        "1",
        "null",
        '"text"',
        "{",
        '{"a": 1}',
        'log line\n{"next_state": 1}',
        '{"next_state": 1}\n{"next_state": 2}',
        '{"next_state": NaN}',
        '{"next_state": 1e999}',
        '{"next_state": "\\ud800"}',
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
)
def test_what_is_not_one_object_with_a_trigger_is_text(stdout):
    assert said(stdout).structured is None


@pytest.mark.parametrize("key", TRIGGERS)
def test_a_trigger_with_null_still_counts(key):
    assert structured(**{key: None}) is not None


def test_whitespace_around_the_object_is_fine():
    assert said(' \n{"next_state": 5}\n\n').structured.next_state == 5


def test_a_next_state_is_told_from_none():
    assert structured(events=[]).has_next_state is False
    none = structured(next_state=None)
    assert none.has_next_state is True
    assert none.next_state is None


def test_events_of_another_shape_are_skipped():
    items = [{"type": "a", "payload": {"x": 1}}, {"type": "b"}, {"payload": {}}, 5, None,
             {"type": 3, "payload": {}}, {"type": "", "payload": {}}]  # fmt: skip
    assert structured(events=items).events == [NamedEvent(type="a", payload={"x": 1})]
    assert structured(events={"type": "a"}).events == []


def test_emissions_take_what_is_present_and_skip_what_is_none():
    items = [
        {"type": "t", "to": "x", "body": 1, "payload": 2, "class": "stream",
         "headers": {"h": 1}, "artifacts": [1], "stream": {"seq": 1}, "correlation_id": "c",
         "causation_id": "d", "content_type": "ct", "content_encoding": "gzip"},
        {"type": "t", "payload": [1]},
        {"type": "t"},
        {"type": "t", "body": None, "to": None, "class": None, "headers": None},
        {"type": "t", "to": 5, "headers": [], "artifacts": {}, "stream": "s"},
        {"body": 1},
        {"type": 7},
        "t",
    ]  # fmt: skip
    found = structured(emit_messages=items).emissions
    assert found == [
        Emission(type="t", to="x", body=1, class_="stream", headers={"h": 1}, artifacts=[1],
                 stream={"seq": 1}, correlation_id="c", causation_id="d", content_type="ct",
                 content_encoding="gzip"),
        Emission(type="t", body=[1]),
        Emission(type="t", body={}),
        Emission(type="t", body=None),
        Emission(type="t", body={}),
    ]  # fmt: skip


def test_a_body_in_base64_is_text_if_it_can_be_else_bytes():
    assert emission({"type": "t", "body_base64": "aGk="}).body == "hi"
    assert emission({"type": "t", "body_base64": "/w=="}).body == b"\xff"
    octets = {"type": "t", "body_base64": "aGk=", "content_type": "application/octet-stream"}
    assert emission(octets).body == b"hi"
    assert emission({"type": "t", "body_base64": "!!"}) is None


@pytest.mark.parametrize(
    "members,completions",
    [
        ({"complete_job": True}, [Completion(scope="run", value=True)]),
        ({"complete_job": {"a": 1}}, [Completion(scope="run", value={"a": 1})]),
        ({"complete_job": False}, [Completion(scope="run", value=False)]),
        ({"complete_job": None}, []),
        ({"complete_job?": True}, [Completion(scope="run", default=True)]),
        ({"complete_job?": 0}, []),
        ({"complete_run": True}, [Completion(scope="run", default=True)]),
        ({"complete_run": False}, []),
        ({"complete_run": {"x": 1}}, [Completion(scope="run", value={"x": 1})]),
        ({"complete_step": "s"}, [Completion(scope="step", value="s")]),
        (
            {"complete_run": 1, "complete_step": True},
            [Completion(scope="step", default=True), Completion(scope="run", value=1)],
        ),
        ({"complete_run": 1, "complete_job": 2}, [Completion(scope="run", value=1)]),
    ],
)
def test_completions_step_first_and_the_run_once(members, completions):
    assert structured(**members).completions == completions


def test_an_sdk_result_is_recognised_by_its_four_members():
    whole = {"outputs": {}, "artifacts": [], "metrics": {}, "status": "completed", "more": 1}
    assert said(json.dumps(whole)).sdk_result == whole
    assert said(json.dumps(whole)).structured is None
    for key in ("outputs", "artifacts", "metrics", "status"):
        assert said(json.dumps({**whole, key: 5})).sdk_result is None


def test_an_output_can_be_both():
    whole = {"outputs": {}, "artifacts": [], "metrics": {}, "status": "s", "next_state": 1}
    both = said(json.dumps(whole))
    assert both.sdk_result == whole
    assert both.structured.next_state == 1


def journaled(structured):
    fact = AttemptEnded(
        at=1.0,
        attempt_id="a",
        launch=1,
        outcome=Outcome(status=OutcomeStatus.SUCCEEDED, structured=structured),
    )
    return decode_fact(encode_fact(fact)).outcome.structured


def test_huge_integers_and_deep_trees_can_be_journaled():
    huge = structured(next_state={"n": 10**40, "m": -(10**30)})
    assert journaled(huge).next_state == {"n": 10**40, "m": -(10**30)}
    deep = said('{"next_state":' + "[" * 900 + "]" * 900 + "}").structured
    assert journaled(deep).next_state == deep.next_state
    assert 0 < str(deep.next_state).count("[") <= LEVELS + 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(TRIGGERS), JSON, min_size=1))
def test_no_json_at_all_breaks_the_reading_or_the_journal(members):
    found = said(json.dumps(members)).structured
    if found is not None:
        journaled(found)


@given(st.text())
def test_no_text_at_all_breaks_the_reading(text):
    said(text)
    protocol_line(text.encode(errors="replace"))


def test_a_protocol_line_holds_an_object_or_text():
    assert protocol_line(b' {"a": 1}') == {"a": 1}
    assert protocol_line(b" all good ") == "all good"
    assert protocol_line(b"{broken") == "{broken"
    assert protocol_line(b"\xff") == "\N{REPLACEMENT CHARACTER}"
    assert protocol_line(b"[1]") == "[1]"
    assert protocol_line(b'{"a": "' + b"x" * 100_000 + b'"}') == '{"a": "' + "x" * 2041


@pytest.mark.parametrize(
    "line,event",
    [
        ({"type": "x", "payload": {"a": 1}}, NamedEvent(type="x", payload={"a": 1})),
        ({"type": "x", "a": 1}, NamedEvent(type="x", payload={"type": "x", "a": 1})),
        ({"a": 1}, NamedEvent(type="agent_activity", payload={"a": 1})),
        (
            "text",
            NamedEvent(type="agent_activity", payload={"message": "text", "category": "agent"}),
        ),
    ],
)
def test_an_event_line_names_its_event_or_is_activity(line, event):
    assert activity(line) == event


def test_named_events_need_type_and_payload():
    assert named_event({"type": "a", "payload": {}}) == NamedEvent(type="a", payload={})
    assert named_event({"type": "a", "payload": []}) is None


def test_secrets_are_hidden_wherever_they_stand():
    assert hidden("a hunter22 b hunter22", ("hunter22",)) == "a [REDACTED] b [REDACTED]"
    assert hidden("nothing", ("hunter22",)) == "nothing"


def test_text_that_is_no_json_has_no_value():
    assert decoded("{") is None
    assert decoded(b"\xff") is None
    assert decoded('{"a": "\ud800"}') is None
