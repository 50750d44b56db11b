import contextlib
import json
import logging
import os
import socket

import pytest
import trio

from mnedge.config.settings import Logs
from mnedge.observe.logs import MOST_BYTES, Bridge, Log
from mnedge.part import running


class Pipe:
    def __init__(self):
        self.reads, self.writes = os.pipe()

    def lines(self):
        os.set_blocking(self.reads, False)
        content = b""
        while True:
            try:
                piece = os.read(self.reads, 1 << 20)
            except BlockingIOError:
                break
            if not piece:
                break
            content += piece
        return content.decode().splitlines()

    def close(self):
        for fd in (self.reads, self.writes):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def pipe():
    made = Pipe()
    yield made
    made.close()


def log_to(pipe, settings=None, **more):
    logs = settings or [Logs(level="debug")]
    return Log(lambda: logs[0], now=lambda: 1_700_000_000.25, fd=pipe.writes, **more)


def test_a_line_is_one_json_object_with_what_a_program_asks_for(pipe):
    log = log_to(pipe)
    log.say("info", "runtime", "started\nwith two lines", job_id="job-1", agent="a", missing=None)
    (line,) = pipe.lines()
    record = json.loads(line)
    assert record == {
        "ts": "2023-11-14T22:13:20.250Z", "level": "info", "component": "runtime",
        "message": "started\nwith two lines", "job_id": "job-1", "agent": "a",
    }  # fmt: skip


def test_the_level_can_be_changed_while_it_runs(pipe):
    settings = [Logs(level="warning")]
    log = log_to(pipe, settings)
    log.say("info", "x", "not this")
    settings[0] = Logs(level="debug")
    log.say("debug", "x", "this")
    log.told_by("y")("error", "and this", {"a": 1})
    assert [json.loads(line)["message"] for line in pipe.lines()] == ["this", "and this"]


def test_people_get_text(pipe):
    log = log_to(pipe, [Logs(format="text")])
    log.say("info", "gateway", "listens", url="http://x", n=3, text="two words")
    assert pipe.lines() == [
        '22:13:20.250 INFO    gateway: listens  url=http://x n=3 text="two words"'
    ]


def test_secrets_are_hidden(pipe):
    log = log_to(pipe, redact=lambda text: text.replace("hunter2", "***"))
    log.say("info", "x", "it is hunter2", api_key="abc", value="hunter2")
    (line,) = pipe.lines()
    assert "hunter2" not in line
    assert "abc" not in line


def test_an_unexpected_error_has_its_traceback(pipe):
    log = log_to(pipe)
    try:
        raise KeyError("lost")
    except KeyError as error:
        log.broke("schedules", "a part broke", error, part="x")
    record = json.loads(pipe.lines()[0])
    assert "KeyError: 'lost'" in record["traceback"]
    assert record["level"] == "error"


def test_what_libraries_say_is_taken(pipe):
    logger = logging.Logger("hypercorn.error")
    logger.addHandler(Bridge(log_to(pipe)))
    logger.warning("%s is odd", "that")
    try:
        raise ValueError("x")
    except ValueError:
        logger.exception("broke")
    first, second = map(json.loads, pipe.lines())
    assert (first["component"], first["level"], first["message"]) == (
        "hypercorn", "warning", "that is odd",
    )  # fmt: skip
    assert "ValueError" in second["traceback"]


async def test_a_reader_that_stops_reading_stops_nobody(pipe):
    log = log_to(pipe)
    async with running(log):
        with trio.fail_after(20):
            for number in range(6000):
                log.say("info", "x", "y" * 400, number=number)
            assert log.dropped > 0
            assert log._waiting_bytes <= MOST_BYTES
            lines = []
            while log._waiting:
                lines += pipe.lines()
                await trio.sleep(0.005)
            log.say("info", "x", "after")
            lines += pipe.lines()
    numbers = [json.loads(line).get("number") for line in lines if "number" in line]
    assert numbers == list(range(len(numbers))), "in order, whole, the newest were dropped"
    told = [json.loads(line)["dropped"] for line in lines if "lines were dropped" in line]
    assert sum(told) == log.dropped == 6000 - len(numbers)
    assert json.loads(lines[-1])["message"] == "after"


def test_a_reader_that_is_gone_is_no_error(pipe):
    log = log_to(pipe)
    os.close(pipe.reads)
    log.say("info", "x", "nobody hears")
    assert log.dropped == 1


def test_a_socket_that_is_full_stops_nobody():
    left, right = socket.socketpair()
    with left, right:
        log = Log(lambda: Logs(), now=lambda: 0.0, fd=left.fileno())
        for _ in range(10_000):
            log.say("info", "x", "y" * 300)
        assert log.dropped > 0
        assert right.recv(1 << 20).startswith(b'{"ts":"1970')


def test_a_line_that_is_far_too_long_is_cut(pipe):
    log = log_to(pipe)
    log.say("info", "x", "m", big="z" * 100_000)
    record = json.loads(pipe.lines()[0])
    assert record["cut"] is True
    assert record["message"] == "m"


def test_a_file_takes_all(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        log = Log(lambda: Logs(), now=lambda: 0.0, fd=file.fileno())
        for _ in range(1000):
            log.say("info", "x", "y" * 1000)
        assert log.dropped == 0
    assert len((tmp_path / "log").read_text().splitlines()) == 1000


def test_fields_that_come_through_logging_are_members_of_the_line(pipe):
    logger = logging.Logger("mnedge.access.requests")
    logger.addHandler(Bridge(log_to(pipe)))
    logger.warning("GET %s", "/x", extra={"fields": {"status": 404}})
    [line] = map(json.loads, pipe.lines())
    assert (line["component"], line["message"], line["status"]) == ("access", "GET /x", 404)
