"""Views of jobs: a picture, lines, records, nothing."""

import io
import json

import pytest
import trio

from mnedge.cli import progress
from mnedge.cli.live import Drawn, Plain, Records, Shown, Silent, view_for
from mnedge.cli.progress import begun
from mnedge.cli.screen import Screen
from mnedge.cli.verbs import Asked
from mnedge.model.events import Event
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus

EPOCH = 1_700_000_000.0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def now():
    return EPOCH + trio.current_time()


def shown(job_id="demo-1", run_folder=""):
    record = JobRecord(
        job_id=job_id,
        graph_id="demo_v1",
        job_name="demo",
        blueprint_id="demo",
        status=JobStatus.PENDING,
        submitted_at=EPOCH,
        updated_at=EPOCH,
        run_folder=run_folder,
    )
    return Shown(record, begun([("a", "router"), ("w", "executor")]))


def event(seq, event_type, agent_id=None, **payload):
    return Event(seq, EPOCH + seq, event_type, agent_id, payload)


STORY = [
    event(1, "job_pending"),
    event(2, "job_validated"),
    event(3, "job_running"),
    event(4, "agent_message_received", "a"),
    event(5, "agent_restart_scheduled", "w", reason="it died"),
]


def words(screen):
    return [" ".join(line.split()[1:]) for line in screen.stream.getvalue().splitlines()]


def test_the_view_follows_what_was_asked_for_and_where_it_goes(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    job = shown()

    def kind(stream, quiet=False, **asked):
        return type(view_for(Screen(Asked(**asked), stream), [job], now, quiet=quiet))

    assert kind(Terminal()) is Drawn
    assert kind(Terminal(), verbose=True) is Plain
    assert kind(io.StringIO()) is Plain
    assert kind(Terminal(), quiet=True) is Silent
    assert kind(Terminal(), output="json") is Silent
    assert kind(Terminal(), output="ndjson") is Records


def test_lines_tell_what_a_person_is_asked_and_how_to_answer():
    screen, job = Screen(Asked(), io.StringIO()), shown()
    view = Plain(screen, [job], now, verbose=False)
    view.take(job, [event(1, "human_input_requested", "a", request_id="r", prompt="Ship it?")])
    assert screen.stream.getvalue().splitlines() == [
        "! waiting for a person: Ship it?",
        "  mnedge job approve|reject demo-1",
    ]


def test_lines_tell_what_is_news():
    screen, job = Screen(Asked(), io.StringIO()), shown()
    view = Plain(screen, [job], now, verbose=False)
    view.take(job, STORY)
    assert words(screen) == ["running", words(screen)[1]]
    assert words(screen)[1].endswith("w agent restart scheduled: it died")
    assert job.progress.events == 5


def test_verbose_lines_tell_everything():
    screen, job = Screen(Asked(verbose=True), io.StringIO()), shown()
    Plain(screen, [job], now, verbose=True).take(job, STORY)
    assert "agent_message_received a" in words(screen)


async def test_lines_say_now_and_then_how_far_it_is(autojump_clock):
    screen, jobs = Screen(Asked(), io.StringIO()), [shown("one"), shown("two")]
    view = Plain(screen, jobs, now, verbose=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(view.run)
        view.take(jobs[0], STORY[3:4])
        await trio.sleep(11)
        assert words(screen) == ["one 1 message handled"]
        view.take(jobs[1], STORY[3:4])
        await trio.sleep(5)
        assert len(words(screen)) == 2
        nursery.cancel_scope.cancel()


async def test_who_waited_for_a_person_before_is_told_first(autojump_clock):
    screen, job = Screen(Asked(), io.StringIO()), shown("one")
    job.progress.requests["r1"] = progress.Asked(request_id="r1", prompt="Open the gate?")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Plain(screen, [job], now, verbose=False).run)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    told = screen.stream.getvalue()
    assert "waiting for a person: Open the gate?" in told
    assert "mnedge job approve" in told


async def test_a_picture_is_drawn_often_enough_and_not_too_often(autojump_clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen, job = Screen(Asked(), Terminal()), shown()
    view = Drawn(screen, [job], now)
    drawn = []
    monkeypatch.setattr(view, "draw", lambda: drawn.append(trio.current_time()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(view.run)
        await trio.sleep(3.5)
        assert len(drawn) == 4
        for _ in range(100):
            view.take(job, [])
            await trio.sleep(0.01)
        assert len(drawn) < 4 + 11
        nursery.cancel_scope.cancel()


async def test_a_picture_shows_the_job_and_the_notice_until_it_is_over(autojump_clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen, job = Screen(Asked(color=False), Terminal()), shown()
    view = Drawn(screen, [job], now)
    view.take(job, STORY)
    with view.block():
        view.notice("cancelling")
        assert "demo  running" in screen.stream.getvalue()
        assert "! cancelling" in screen.stream.getvalue()
        view.take(job, [event(6, "job_cancelled")])
        before = len(screen.stream.getvalue())
        view.draw()
    assert "cancelling" not in screen.stream.getvalue()[before:]


async def test_a_paused_job_says_how_to_go_on(autojump_clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen, job = Screen(Asked(), Terminal()), shown()
    view = Drawn(screen, [job], now)
    view.take(job, [event(1, "job_paused")])
    with view.block():
        view.draw()
    assert "mnedge job resume demo-1" in screen.stream.getvalue()


async def test_many_jobs_are_one_line_each(autojump_clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen, jobs = Screen(Asked(color=False), Terminal()), [shown("one"), shown("two")]
    view = Drawn(screen, jobs, now)
    view.take(jobs[1], STORY)
    with view.block():
        view.notice("leaving")
    told = screen.stream.getvalue()
    assert "one  pending" in told
    assert "two  running" in told
    assert "! leaving" in told


def test_records_are_those_of_the_run_folder(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text('{"seq": 1, "secret": "[REDACTED]"}\n')
    screen, job = Screen(Asked(output="ndjson"), io.StringIO()), shown(run_folder=str(tmp_path))
    view = Records(screen, [job])
    view.take(job, STORY)
    with file.open("a") as more:
        more.write('{"type": "from_a_worker"}\n')
    view.draw()
    told = [json.loads(line) for line in screen.stream.getvalue().splitlines()]
    assert [(one.get("seq"), one.get("secret")) for one in told] == [
        (1, "[REDACTED]"),
        (None, None),
    ]
    assert told[1]["type"] == "from_a_worker"


@pytest.mark.parametrize("output,told", [("human", "! careful\n"), ("json", "")])
async def test_silence_is_broken_for_a_notice_to_a_person(output, told, autojump_clock):
    screen, job = Screen(Asked(output=output), io.StringIO()), shown()
    view = Silent(screen)
    view.take(job, STORY)
    view.draw()
    with view.block():
        view.notice("careful")
    with trio.move_on_after(1):
        await view.run()
    assert screen.stream.getvalue() == told


async def test_a_picture_does_not_let_a_worker_steer_the_terminal(autojump_clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen, job = Screen(Asked(color=False), Terminal()), shown()
    view = Drawn(screen, [job], now)
    view.take(job, [event(1, "reading_done", "w", text="a\x1b[2Jb")])
    with view.block():
        view.draw()
    assert "a␛[2Jb" in screen.stream.getvalue()
    assert "\x1b[2J" not in screen.stream.getvalue()
