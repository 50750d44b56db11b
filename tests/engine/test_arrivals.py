from mnedge.engine.arrivals import RECEIPT_S
from mnedge.engine.job import IDLE_TIMER
from mnedge.model.facts import LiveInputRead, LiveItem
from mnedge.model.manifest import LiveInput
from mnedge.model.states import JobStatus, Verb
from tests.engine.jobs import Play, agent, spec_of


def live(name="drop", **more):
    return LiveInput(name=name, skill="s", connector="file", settings={}, **more)


def play(*inputs, **more):
    return Play(
        spec_of([agent("one"), agent("two")], seeds={"one": [{}]}, live_inputs=list(inputs), **more)
    )


def item(name, **body):
    return LiveItem(item_id=name, type="file_added", body=body, source_ref={"path": name})


def read(run, *items, **more):
    return run.give(LiveInputRead(at=run.at, name="drop", items=list(items), **more))


def test_what_a_live_input_brings_goes_to_the_entrypoints_and_is_told():
    run = play(live())
    read(run, item("a", n=1), item("b", n=2), cursor="2")
    assert run.received("one") == [{}, {"n": 1}, {"n": 2}]
    told = run.told("file_added")
    assert [one["item_id"] for one in told] == ["a", "b"]
    assert told[0]["source_ref"] == {"path": "a"}
    assert told[0]["name"] == "drop"


def test_or_to_the_agents_that_it_names():
    run = play(live(to=["two"]))
    read(run, item("a", n=1))
    assert run.received("two") == [{"n": 1}]
    assert run.received("one") == [{}]


def test_each_thing_comes_once_and_the_cursor_is_kept_with_it():
    run = play(live())
    read(run, item("a"), cursor="1", reads=3)
    run.crashed()
    read(run, item("a"), item("b"), cursor="2")
    assert [one["item_id"] for one in run.told("file_added")] == ["a", "b"]
    known = run.state.live_inputs["drop"]
    assert (known.cursor, known.reads, known.items) == ("2", 4, 2)


def test_the_cursor_outlives_the_receipts():
    run = play(live())
    read(run, item("a"), cursor="1")
    run.at += 2 * RECEIPT_S
    run.crashed()
    assert run.state.live_inputs["drop"].cursor == "1"


def test_a_job_is_not_silent_while_a_source_is_open():
    run = play(live())
    read(run, item("a"))
    assert IDLE_TIMER not in run.timers
    read(run, ended={"code": "x", "error": "gone"})
    assert IDLE_TIMER in run.timers
    assert run.told("input_skill_failed") == [
        {
            "name": "drop",
            "code": "x",
            "error": "gone",
            "required": False,
            "reads": 2,
            "items": 1,
        }
    ]
    read(run, item("b"))
    assert run.received("one") == [{}, {}]


def test_a_job_without_live_inputs_is_silent_as_ever():
    assert IDLE_TIMER in play().timers


def test_the_job_fails_with_a_source_that_it_cannot_do_without():
    run = play(live())
    read(run, ended={"code": "connector.refused", "error": "it answered 403"}, fails=True)
    assert run.state.status is JobStatus.FAILED
    assert run.state.error["code"] == "connector.refused"
    assert "live input drop cannot be read any more: it answered 403" in str(run.state.error)


def test_what_comes_during_a_pause_waits():
    run = play(live())
    run.asked(Verb.PAUSE)
    read(run, item("a", n=1))
    assert run.received("one") == [{}]
    run.asked(Verb.RESUME)
    assert run.received("one") == [{}, {"n": 1}]


def test_an_input_that_the_job_does_not_have_changes_nothing():
    run = play(live("other"))
    assert read(run, item("a")) == []
    assert run.state.live_inputs == {}


def test_after_the_end_nothing_comes():
    run = play(live())
    run.asked(Verb.CANCEL)
    assert read(run, item("a")) == []
