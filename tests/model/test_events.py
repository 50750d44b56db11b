"""Events: ids that repeat, payloads rendered when somebody reads them."""

import msgspec

from mnedge.model.body import BlobRef, Gathered
from mnedge.model.events import Event, event_id, payload_of
from mnedge.model.message import normalise, summary


def test_an_event_id_follows_from_job_and_number():
    assert event_id("j", 1) == event_id("j", 1)
    assert event_id("j", 1).startswith("evt_")
    assert len({event_id("j", 1), event_id("j", 2), event_id("k", 1)}) == 3


def test_a_received_message_shows_its_summary():
    message = normalise({"to": "a", "body": "never shown"}, at=1.0, seed="s")
    event = Event(1, 1.0, "agent_message_received", "a", message)
    assert payload_of(event, "j") == summary(message)


def test_a_message_inside_a_payload_shows_its_normal_form():
    message = normalise({"to": "a", "body": 5}, at=1.0, seed="s")
    event = Event(1, 1.0, "dead_letter", "a", {"message": message, "reason": "r"})
    payload = payload_of(event, "j-1")
    assert payload["message"]["envelope"]["job_id"] == "j-1"
    assert payload["message"]["body"] == 5


def test_references_are_described_and_long_gatherings_cut():
    items = list(range(1005))
    event = Event(
        1,
        1.0,
        "x",
        "a",
        {"big": BlobRef("sha256:ab", 7), "all": Gathered(items, len(items), owner=0)},
    )
    payload = payload_of(event, "j")
    assert payload["big"]["sha256"] == "ab"
    assert payload["all"][-1] == {"truncated": True, "items": 5}
    assert len(payload["all"]) == 1001
    assert msgspec.json.encode(payload)
