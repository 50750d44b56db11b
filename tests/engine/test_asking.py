"""Requests: what they say, how many wait, how long they are remembered."""

import pytest

from mnedge.engine import asking, people
from mnedge.model.states import Verb
from tests.engine.humans import answer, gate, ids, line
from tests.engine.replayed import replays


@pytest.mark.parametrize("timeout", [None, 0, -1, True, "soon"])
def test_what_is_no_timeout_is_the_jobs(timeout):
    assert gate({"approval_timeout_seconds": timeout}).timers == {"human:gate-1": 160.0}


def test_only_so_many_lines_and_answers_are_remembered(monkeypatch):
    monkeypatch.setattr(people, "LINES_KEPT", 3)
    monkeypatch.setattr(asking, "ANSWERED_KEPT", 3)
    play = gate(seeds=5)
    for number in range(1, 6):
        line(play, "human_input_received", f"l{number}", request_id=f"gate-{number}",
             decision="approve")  # fmt: skip
    kept = play.state.people
    assert list(kept.lines) == ["l3", "l4", "l5"]
    assert list(kept.answered) == ["gate-3", "gate-4", "gate-5"]
    replays(play)


def test_an_id_that_is_used_again_is_the_newest():
    play = gate(seeds=2)
    answer(play, "gate-1")
    answer(play, "gate-2")
    line(play, "human_input_requested", request_id="gate-1")
    answer(play, "gate-1", "reject")
    assert list(play.state.people.answered) == ["gate-2", "gate-1"]
    replays(play)


def test_only_so_many_requests_wait(monkeypatch):
    monkeypatch.setattr(asking, "PENDING_AT_MOST", 2)
    play = gate(seeds=3)
    assert ids(play) == ["gate-1", "gate-2"]
    (refused,) = play.told("human_input_rejected")
    assert (refused["request_id"], refused["reason"]) == (
        "gate-3",
        "too many requests wait for a person",
    )
    (letter,) = play.told("dead_letter")
    assert letter["message"]["body"] == {"n": 2}
    answer(play, "gate-1")
    play.asked(Verb.REDRIVE, details={"message_id": letter["message_id"]})
    assert len(ids(play)) == 2
    replays(play)


def test_what_waits_weighs():
    play = gate(seeds=2)
    before = play.state.kept_bytes
    answer(play, "gate-1")
    assert 0 < play.state.kept_bytes < before
    answer(play, "gate-2")
    assert play.state.people.pending == {}
    replays(play)


def test_an_id_of_its_own_is_one_that_nobody_uses():
    play = gate()
    line(play, "human_input_requested", request_id="gate-2")
    play.sent("gate", {})
    assert ids(play) == ["gate-1", "gate-2", "gate-3"]
