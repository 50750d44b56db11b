"""Events and logs in lines."""

import signal

import pytest
import trio

from mnedge.cli.story import Wanted, event_line, interruptible, log_lines

EVENT = {
    "seq": 12,
    "ts": "2026-01-02T03:04:05.678Z",
    "type": "agent_message_received",
    "agent_id": "reviewer",
    "payload": {"type": "review", "from": "router", "message_id": "m"},
}


def test_an_event_is_one_line():
    words = event_line(EVENT).plain.split()
    assert words[0] == "12"
    assert words[1].endswith("05.678")
    assert words[2:] == ["agent_message_received", "reviewer", "review", "from", "router"]


def test_a_lease_tells_its_pool_and_slots():
    payload = {"lease_id": "x", "pool": "default", "slots": 2, "queue_wait_ms": 7}
    line = event_line(EVENT | {"type": "executor_lease_acquired", "payload": payload})
    assert line.plain.endswith("pool=default slots=2 queue_wait_ms=7")


def test_an_event_of_a_stranger_is_told_as_far_as_it_goes():
    assert event_line({}).plain.split() == ["None"]
    assert "odd" in event_line({"type": "odd", "payload": [1], "ts": "noon"}).plain


def test_a_log_record_is_one_line():
    record = {"ts": EVENT["ts"], "level": "warn", "component": "runtime", "message": "a\nb"}
    (line,) = log_lines(record)
    assert line.plain.split()[1:] == ["WARN", "runtime", "a", "b"]


def test_records_are_chosen_by_type_and_agent():
    assert Wanted().wants(EVENT)
    assert Wanted(types=("job_*", "agent_*")).wants(EVENT)
    assert not Wanted(types=("job_*",)).wants(EVENT)
    assert Wanted(agent="reviewer").wants(EVENT)
    assert not Wanted(agent="router").wants(EVENT)


def test_what_a_worker_wrote_stands_line_by_line_the_end_of_it_if_it_is_much():
    record = {
        "type": "worker_output",
        "ts": EVENT["ts"],
        "agent_id": "w",
        "stdout": "\n".join(map(str, range(9))),
        "stderr": "\x1b[2Jx",
    }
    lines = [line.plain.split(maxsplit=3)[1:] for line in log_lines(record, 2)]
    assert lines == [
        ["stdout", "w", "… 7 lines before; --agent w shows all"],
        ["stdout", "w", "7"],
        ["stdout", "w", "8"],
        ["stderr", "w", "␛[2Jx"],
    ]
    assert len(log_lines(record)) == 10


def test_an_event_of_the_ledger_names_its_step():
    record = {
        "seq": 9, "ts": "1970-01-01T00:00:01Z", "type": "workflow_step_attempt_retry_scheduled",
        "agent_id": "worker", "step_id": "work[3]", "payload": {},
    }  # fmt: skip
    words = event_line(record).plain.split()
    assert words[2:] == ["workflow_step_attempt_retry_scheduled", "work[3]"]
    assert "worker" in event_line(record | {"type": "agent_message_received"}).plain


async def test_ctrl_c_ends_what_goes_on(autojump_clock):
    async def press():
        await trio.sleep(1)
        signal.raise_signal(signal.SIGINT)

    with pytest.RaisesGroup(pytest.RaisesGroup(KeyboardInterrupt)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(press)
            await interruptible(trio.sleep_forever)


async def test_work_that_is_done_is_not_waited_for(autojump_clock):
    await interruptible(lambda: trio.sleep(1))
