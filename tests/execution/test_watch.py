import pytest
import trio

from mnedge.execution.beacons import Beacons, Identity, beacon_settings
from mnedge.execution.watch import Watch
from mnedge.model.facts import NamedEvent
from mnedge.model.states import OutcomeStatus
from mnedge.ports import Launch
from tests.execution.node import ScriptedRunner, ended

IDENTITY = Identity(job_id="j", agent_id="a", step="s", attempt=1)


@pytest.fixture
def told():
    return []


@pytest.fixture
def watching(told, tmp_path):
    def make(answer, secrets=(), **config):
        launch = Launch(
            token="t", name="n", command=("x",), workspace=str(tmp_path), workdir="/",
            environment={},
        )  # fmt: skip
        beacons = Beacons(
            beacon_settings(config),
            IDENTITY,
            elapsed_s=trio.current_time,
            date=lambda: 0.0,
            tell=lambda event, payload: told.append((event, payload)),
        )
        return Watch(ScriptedRunner(answer), launch, beacons, secrets=secrets, publish=told.append)

    return make


def says(*lines, after=0.0):
    async def run(launch, on_line):
        kept = []
        for line in lines:
            await trio.sleep(after)
            if not on_line(line):
                kept.append(line)
        return ended(b"\n".join(kept))

    return run


async def test_protocol_lines_are_taken_out_and_published(watching, told):
    finished = await watching(
        says(
            b"first",
            b'__MN_EVENT__ {"type": "found", "payload": {"n": 1}}',
            b'__MN_AGENT_BEACON__ {"status": "busy"}',
            b"__MN_EVENT__ just text",
            b"last",
        )
    ).run()
    assert finished.stdout == b"first\nlast"
    event, (name, beacon), activity = told
    assert event == NamedEvent(type="found", payload={"n": 1})
    assert (name, beacon["status"], beacon["source"]) == ("agent_beacon", "busy", "agent")
    assert activity.payload == {"message": "just text", "category": "agent"}


async def test_other_prefixes_can_be_chosen(watching, told):
    await watching(
        says(b"@B one", b"@E two"),
        agent_beacon_stdout_prefix="@B",
        agent_event_stdout_prefix="@E",
    ).run()
    assert [one[0] if isinstance(one, tuple) else one.type for one in told] == [
        "agent_beacon",
        "agent_activity",
    ]


async def test_secrets_do_not_leave_through_protocol_lines(watching, told):
    line = b'__MN_EVENT__ {"type": "e", "payload": {"x": "hunter2!"}}'
    await watching(says(line, b"__MN_AGENT_BEACON__ hunter2!"), secrets=("hunter2!",)).run()
    assert told[0].payload == {"x": "[REDACTED]"}
    assert told[1][1]["message"] == "[REDACTED]"


async def test_the_runtime_sends_beacons_of_its_own(watching, told, autojump_clock):
    async def slow(launch, on_line):
        await trio.sleep(3.5)
        return ended(b"done")

    finished = await watching(
        slow, beacon_enabled=True, beacon_interval_ms=1000, beacon_timeout_ms=1000
    ).run()
    assert finished.stdout == b"done"
    assert [payload["status"] for _, payload in told] == [
        "started",
        "working",
        "working",
        "working",
        "completed",
    ]


async def test_without_the_switch_there_are_none(watching, told, autojump_clock):
    async def slow(launch, on_line):
        await trio.sleep(100)
        return ended()

    await watching(slow).run()
    assert told == []


REQUIRED = {"beacon_enabled": True, "agent_beacon_required": True, "beacon_timeout_ms": 2000}


async def test_a_worker_that_must_beacon_and_does_may_go_on(watching, autojump_clock):
    lines = [b"__MN_AGENT_BEACON__ alive"] * 10
    finished = await watching(says(*lines, after=1.5), **REQUIRED).run()
    assert finished.status is OutcomeStatus.SUCCEEDED
    assert trio.current_time() >= 15


async def test_a_silent_worker_is_stopped(watching, told, autojump_clock):
    async def falls_silent(launch, on_line):
        on_line(b"hello")
        await trio.sleep(1)
        on_line(b"__MN_AGENT_BEACON__ alive")
        await trio.sleep_forever()

    watch = watching(falls_silent, **REQUIRED)
    started_at = trio.current_time()
    finished = await watch.run()
    assert trio.current_time() - started_at == pytest.approx(3)
    assert watch._runner.cancelled == 1
    assert finished.status is OutcomeStatus.FAILED
    assert finished.error == "agent beacon deadline exceeded"
    assert finished.stdout == b"hello\n"
    assert finished.extra["timeout_ms"] == 2000
    assert finished.extra["beacon"]["message"] == "alive"
    assert [event for event, _ in told if event == "agent_beacon_missed"]


async def test_a_required_beacon_counts_only_if_beacons_are_on(watching, autojump_clock):
    async def slow(launch, on_line):
        await trio.sleep(100)
        return ended()

    finished = await watching(slow, **{**REQUIRED, "beacon_enabled": False}).run()
    assert finished.status is OutcomeStatus.SUCCEEDED


@pytest.mark.parametrize("beacon_enabled", [False, True])
async def test_a_runner_that_raises_is_a_failed_run(watching, beacon_enabled):
    finished = await watching(RuntimeError("oops"), beacon_enabled=beacon_enabled).run()
    assert finished.status is OutcomeStatus.FAILED
    assert finished.error == "runner host_local broke: RuntimeError: oops"


async def test_being_cancelled_reaches_the_runner(watching, autojump_clock):
    async def slow(launch, on_line):
        await trio.sleep_forever()

    watch = watching(slow, beacon_enabled=True)
    with trio.move_on_after(1) as scope:
        await watch.run()
    assert scope.cancelled_caught
    assert watch._runner.cancelled == 1
