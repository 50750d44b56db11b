import trio

from mnedge.model.facts import Continued, NamedEvent, Note, Noted, TimerFired, WorkerSaid
from mnedge.runtime import inbox as inbox_module
from mnedge.runtime.inbox import Inbox


def note(number: int) -> Note:
    return Note(at=float(number), type="agent_beacon", payload={"sequence": number})


async def test_a_fact_is_taken_at_once(autojump_clock):
    inbox = Inbox()
    inbox.put(Continued(at=1.0))
    began = trio.current_time()
    assert await inbox.take(10) == [Continued(at=1.0)]
    assert trio.current_time() == began


async def test_notes_wait_for_a_fact_and_keep_their_place(autojump_clock):
    inbox = Inbox()
    inbox.note(note(1))

    async def fact_later():
        await trio.sleep(0.03)
        inbox.put(Continued(at=2.0))
        inbox.note(note(3))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fact_later)
        batch = await inbox.take(10)
    assert batch == [
        Noted(at=1.0, notes=[note(1)]),
        Continued(at=2.0),
        Noted(at=3.0, notes=[note(3)]),
    ]


async def test_notes_alone_are_taken_after_their_wait(autojump_clock):
    inbox = Inbox()
    inbox.note(note(1))
    began = trio.current_time()
    assert await inbox.take(10) == [Noted(at=1.0, notes=[note(1)])]
    assert trio.current_time() - began == inbox_module.NOTE_WAIT_S


async def test_a_batch_is_bounded(autojump_clock):
    inbox = Inbox()
    for number in range(5):
        inbox.put(Continued(at=float(number)))
    assert len(await inbox.take(3)) == 3
    assert len(await inbox.take(3)) == 2


async def test_a_flood_of_notes_is_thinned_and_says_so(autojump_clock, monkeypatch):
    monkeypatch.setattr(inbox_module, "NOTES_AT_MOST", 3)
    inbox = Inbox()
    for number in range(10):
        inbox.note(note(number))
    [noted] = await inbox.take(10)
    assert isinstance(noted, Noted)
    assert [item.type for item in noted.notes] == ["agent_beacon"] * 3 + ["notes_dropped"]
    assert noted.notes[-1].payload == {"count": 7}


async def test_what_is_put_back_comes_before_everything_else(autojump_clock):
    inbox = Inbox()
    for number in range(4):
        inbox.put(TimerFired(at=0.0, timer_id=str(number)))
    first, *others = await inbox.take(3)
    inbox.put_back(others)
    again = await inbox.take(10)
    assert [fact.timer_id for fact in (first, *again)] == ["0", "1", "2", "3"]


def said(number: int, launch: int = 1) -> WorkerSaid:
    event = NamedEvent(type="workflow_step_started", payload={"n": number})
    return WorkerSaid(at=float(number), work_id="w:1", launch=launch, event=event)


async def test_what_a_worker_said_is_taken_at_once_and_keeps_its_place(autojump_clock):
    inbox = Inbox()
    inbox.note(note(1))
    inbox.note(said(2))
    inbox.put(Continued(at=3.0))
    began = trio.current_time()
    assert await inbox.take(10) == [
        Noted(at=1.0, notes=[note(1)]),
        said(2),
        Continued(at=3.0),
    ]
    assert trio.current_time() == began


async def test_a_launch_that_floods_loses_words_and_only_its_own(autojump_clock, monkeypatch):
    monkeypatch.setattr(inbox_module, "SAID_AT_MOST", 2)
    inbox = Inbox()
    for number in range(5):
        inbox.note(said(number))
    inbox.note(said(9, launch=2))
    first = await inbox.take(1)
    assert first == [said(0)]
    inbox.put_back(first)
    inbox.note(said(7))
    assert await inbox.take(10) == [
        said(0),
        said(1),
        said(9, launch=2),
        Noted(
            at=9.0,
            notes=[
                Note(
                    at=9.0,
                    type="worker_events_dropped",
                    payload={"count": 4, "work_id": "w:1"},
                    work_id="w:1",
                    launch=1,
                )
            ],
        ),
    ]
    inbox.note(said(8))
    assert await inbox.take(10) == [said(8)]


async def test_an_inbox_knows_whether_something_waits(autojump_clock):
    inbox = Inbox()
    assert inbox.empty
    inbox.put(TimerFired(at=1.0, timer_id="t"))
    assert not inbox.empty
    await inbox.take(10)
    assert inbox.empty
