"""What stands in human.jsonl becomes facts, each line once."""

import json

import trio

from mnedge.model.facts import HumanSaid, Note
from mnedge.runtime.inbox import Inbox
from mnedge.runtime.listening import WORKING_S, Listener
from tests.store.runs.world import JOB, folder

ANSWER = {
    "type": "human_input_received",
    "payload": {"request_id": "r", "decision": "approve", "reviewer": "ada"},
}


class Ear:
    """A listener with all that is around it."""

    def __init__(self, place):
        self.folder = folder(place)
        self.folder.open()
        self.inbox = Inbox()
        self.expecting = True
        self.listener = Listener(self.folder, self.inbox, lambda: 5.0, self.soon)
        self.path = place / "runs" / JOB / "human.jsonl"

    def soon(self):
        return WORKING_S if self.expecting else None

    def write(self, text):
        with self.path.open("a") as file:
            file.write(text)

    async def heard(self):
        """Return what came into the inbox, and confirm it."""
        facts = []
        with trio.move_on_after(1):
            while True:
                facts += await self.inbox.take(100)
        self.listener.journaled(facts)
        return facts


async def test_a_line_becomes_a_fact_once(tmp_path, autojump_clock):
    ear = Ear(tmp_path)
    ear.write(json.dumps(ANSWER) + "\n")
    ear.listener.hear()
    ear.listener.hear()
    [said] = await ear.heard()
    assert isinstance(said, HumanSaid)
    assert (said.at, said.type, said.by) == (5.0, "human_input_received", "ada")
    assert said.payload == ANSWER["payload"]
    ear.folder.close()
    again = Ear(tmp_path)
    again.listener.hear()
    assert await again.heard() == []


async def test_what_was_not_journaled_is_heard_again_with_the_same_id(tmp_path, autojump_clock):
    ear = Ear(tmp_path)
    ear.write(json.dumps(ANSWER) + "\n")
    ear.listener.hear()
    [first] = await ear.inbox.take(100)
    ear.folder.close()
    again = Ear(tmp_path)
    again.listener.hear()
    [second] = await again.heard()
    assert second == first


async def test_a_line_that_nobody_understands_is_worth_an_event(tmp_path, autojump_clock):
    ear = Ear(tmp_path)
    ear.write('{"type": "human_input_rec\n')
    ear.listener.hear()
    [noted] = await ear.heard()
    assert noted.notes == [
        Note(
            at=5.0,
            type="unparseable_event",
            payload={
                "file": "human.jsonl",
                "reason": "no JSON object",
                "line": '{"type": "human_input_rec',
            },
        )
    ]


async def test_it_looks_only_while_somebody_may_speak(tmp_path, autojump_clock):
    ear = Ear(tmp_path)
    ear.expecting = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ear.listener.run)
        await trio.sleep(1)
        ear.write(json.dumps(ANSWER) + "\n")
        await trio.sleep(60)
        assert await ear.heard() == []
        ear.expecting = True
        ear.listener.journaled([])
        await trio.sleep(WORKING_S * 1.5)
        assert len(await ear.heard()) == 1
        nursery.cancel_scope.cancel()
