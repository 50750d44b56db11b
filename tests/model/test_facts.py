"""Facts: what is journaled reads back as it was."""

import msgspec
import pytest

from mnedge.model.codec import decode_fact, encode_fact
from mnedge.model.facts import (
    AttemptEnded,
    Checkpoint,
    Complete,
    Completion,
    Continued,
    DeliverLater,
    Emission,
    Emit,
    LimitCrossed,
    LiveInputRead,
    LiveItem,
    MessageArrived,
    ModuleAnswered,
    NamedEvent,
    Note,
    Noted,
    OperatorAsked,
    Outcome,
    Recovered,
    Structured,
    Submitted,
    Tell,
    TimerFired,
)
from mnedge.model.message import normalise
from mnedge.model.states import OutcomeStatus, Verb

MESSAGE = normalise({"body": [1, 2.5, None, {"ä": "ö"}]}, at=3.0, seed="s")
FACTS = [
    Submitted(at=1.0, node="n"),
    Recovered(at=1.0, reason="why"),
    AttemptEnded(
        at=1.0,
        attempt_id="a:1",
        launch=2,
        outcome=Outcome(
            status=OutcomeStatus.SUCCEEDED,
            result={"stdout": "x"},
            structured=Structured(
                has_next_state=True,
                next_state=None,
                events=[NamedEvent(type="t", payload={})],
                completions=[Completion(scope="run", value=False)],
                emissions=[Emission(type="t", to="x", headers={})],
            ),
        ),
    ),
    ModuleAnswered(
        at=1.0,
        call_id="c",
        launch=1,
        actions=[
            DeliverLater(delay_s=0.5, type="tick"),
            Emit(emission=Emission(type="e", body=b"raw")),
            Tell(event=NamedEvent(type="t", payload={"a": 1})),
            Complete(completion=Completion(scope="step", default=True)),
            Checkpoint(snapshot={"k": 1}),
        ],
        state={"n": 1},
    ),
    TimerFired(at=1.0, timer_id="idle"),
    OperatorAsked(at=1.0, request_id="r", verb=Verb.PAUSE),
    MessageArrived(at=1.0, message=MESSAGE),
    LiveInputRead(
        at=1.0,
        name="drop",
        items=[LiveItem(item_id="a", type="t", body={"n": 1}, source_ref={"path": "a"})],
        cursor="1",
    ),
    Noted(at=1.0, notes=[Note(at=0.5, type="lease")]),
    Continued(at=1.0),
    LimitCrossed(at=1.0, limit="max_state_bytes", size_bytes=2, limit_bytes=1),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_reads_back_as_it_was(fact):
    assert decode_fact(encode_fact(fact)) == fact


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_of_a_newer_release_may_have_more_fields(fact):
    plain = msgspec.msgpack.decode(encode_fact(fact))
    plain["a_field_of_tomorrow"] = 1
    assert decode_fact(msgspec.msgpack.encode(plain)) == fact
