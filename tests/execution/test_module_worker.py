import json
import os
import sys

import pytest
import trio

from mnedge.execution.frames import FrameError
from mnedge.execution.module_worker import LINES_AT_ONCE, CrashedError, ModuleWorker
from mnedge.execution.processes import Processes
from mnedge.execution.telling import telling

pytestmark = pytest.mark.live

ANSWERS = """
import sys
while head := sys.stdin.buffer.read(4):
    said = sys.stdin.buffer.read(int.from_bytes(head, "big")).decode()
    exec(said[1:-1])
"""


def answer(text):
    """Code that answers with this text."""
    content = text.encode()
    whole = len(content).to_bytes(4, "big") + content
    return f"sys.stdout.buffer.write({whole!r}); sys.stdout.buffer.flush()"


@pytest.fixture
async def worker(nursery):
    notes, made = [], []

    def make(secrets=()):
        process = Processes().start(
            [sys.executable, "-u", "-c", ANSWERS],
            token="t/w/1",
            environment={"PATH": os.environ["PATH"]},
            directory="/",
            with_stdin=True,
        )
        found = ModuleWorker(process, telling(notes.append, "w", lambda: 1.0), secrets)
        nursery.start_soon(found.read_what_it_prints)
        made.append(found)
        return found

    make.notes = notes
    yield make
    for one in made:
        await one.end()


async def ask(worker, code):
    with trio.fail_after(10):
        return await worker.ask(f"[{code}]".encode())


async def test_an_answer_is_an_object(worker):
    assert await ask(worker(), answer('{"a": [1]}')) == {"a": [1]}


@pytest.mark.parametrize("text", ["", "[]", "5", "{", json.dumps("x")])
async def test_anything_else_is_a_crash(worker, text):
    with pytest.raises(CrashedError):
        await ask(worker(), answer(text))


async def test_a_process_that_ends_is_a_crash_with_its_last_lines(worker):
    found = worker(secrets=("hunter2!",))
    with pytest.raises(FrameError):
        await ask(found, "print('it is hunter2!', file=sys.stderr); sys.exit(3)")
    await trio.sleep(0.1)
    assert await found.end() == " (exit code 3)\nit is [REDACTED]"
    assert [note.payload["message"] for note in worker.notes] == ["it is [REDACTED]"]


async def test_lines_become_notes_but_no_flood(worker):
    code = "[print(n, file=sys.stderr) for n in range(5000)]; " + answer("{}")
    await ask(worker(), code)
    await trio.sleep(0.3)
    assert LINES_AT_ONCE <= len(worker.notes) <= LINES_AT_ONCE + 10
    note = worker.notes[0]
    assert (note.type, note.agent_id) == ("agent_activity", "w")
    assert note.payload == {"message": "0", "category": "log"}


async def test_a_worker_may_leave_by_itself(worker):
    found = worker()
    await ask(found, answer("{}"))
    with trio.fail_after(5):
        await found.leave()
    assert "exit code 0" in await found.end()


async def test_a_worker_that_does_not_leave_is_made_to(worker, monkeypatch):
    monkeypatch.setattr("mnedge.execution.module_worker.GOODBYE_S", 0.1)
    found = worker()
    code = "import os, time; " + answer("{}") + "; time.sleep(600)"
    await ask(found, code)
    with trio.fail_after(5):
        await found.leave()
    assert "signal 9" in await found.end()
