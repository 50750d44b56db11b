"""Whatever a plugin from outside does, the node meets what the ports promise."""

from dataclasses import dataclass

import pytest
import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge.model.resources import Device, Fingerprint
from mnedge.model.states import OutcomeStatus
from mnedge.plugins.boundary import (
    CheckedConnector,
    CheckedProbe,
    CheckedRunner,
    CheckedSkill,
    PluginBrokenError,
    wrapped,
)
from mnedge.plugins.shapes import METHODS
from mnedge.ports import Batch, Delivery, Finished, Item
from tests.plugins.things import Odd, whole
from tests.plugins.wheels import LAUNCH

GOOD = Finished(status=OutcomeStatus.SUCCEEDED, exit_code=0, stdout=b"hi")
DELIVERY = Delivery(delivery_id="d", kind="test", title="t", at=1.0)


@dataclass
class Author:
    label: str = "acme 1.0"
    fault: str = ""
    may_be_interrupted: bool = True


class Runner:
    name = "acme"
    modules = ("Acme.Runner",)
    isolation = "process"

    def __init__(self, does=None, answer=None):
        self.does, self.answer = does, answer

    def available(self):
        return self._do(None)

    async def run(self, launch, on_line):
        return self._do(on_line)

    async def sweep(self, tokens):
        return self._do(None)

    def _do(self, on_line):
        return self.answer if self.does is None else self.does(on_line)


def raising(error):
    def does(_=None):
        raise error

    return does


class Shy:
    def __repr__(self):
        raise RuntimeError("no")


def runner(**more):
    return CheckedRunner(Runner(**more), Author())


async def ran(**more):
    return await runner(**more).run(LAUNCH, lambda line: True)


@pytest.mark.parametrize("hook", METHODS)
def test_what_is_wrapped_keeps_its_name(hook):
    assert wrapped(hook, whole(), Author()).name == "acme"


# ---- runners ----


async def test_a_good_runner_is_as_without_gloves():
    assert await ran(answer=GOOD) == GOOD
    assert runner(answer=None).available() is None
    assert runner(answer="no such device").available() == "no such device"
    assert await runner(answer=3).sweep({"a/": "a"}) == 3


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(3), BaseException("x"), Odd(), RecursionError(), MemoryError()],
)
async def test_a_runner_that_raises_gives_a_failed_attempt_under_its_name(error):
    got = await ran(does=raising(error))
    assert got.status is OutcomeStatus.FAILED
    assert got.error.startswith("plugin acme 1.0: runner acme: run() raised")
    assert type(error).__name__ in got.error
    assert "raised" in runner(does=raising(error)).available()
    assert await runner(does=raising(error)).sweep({}) == 0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "done",
        Shy(),
        Finished(status="succeeded"),
        Finished(status=OutcomeStatus.SUCCEEDED, stdout="text"),
        Finished(status=OutcomeStatus.SUCCEEDED, exit_code=1.5),
        Finished(status=OutcomeStatus.SUCCEEDED, extra={"x": object()}),
        Finished(status=OutcomeStatus.SUCCEEDED, extra={1: 2}),
        Finished(status=OutcomeStatus.SUCCEEDED, rusage={"user_s": "much"}),
        Finished(status=OutcomeStatus.SUCCEEDED, dropped_bytes=None),
        Finished(status=OutcomeStatus.SUCCEEDED, error=b"bytes"),
        Finished(status=OutcomeStatus.SUCCEEDED, error="\ud800"),
    ],
)
async def test_an_answer_that_is_none_gives_a_failed_attempt(answer):
    got = await ran(answer=answer)
    assert got.status is OutcomeStatus.FAILED
    assert "run() returned" in got.error
    if not isinstance(answer, str | None):
        assert "returned" in runner(answer=answer).available()
        assert await runner(answer=answer).sweep({}) == 0


async def test_a_run_that_cannot_be_waited_for_is_a_failed_attempt():
    inner = Runner()
    inner.run = lambda launch, on_line: GOOD
    got = await CheckedRunner(inner, Author()).run(LAUNCH, lambda line: True)
    assert "cannot be waited for" in got.error


async def test_output_over_the_cap_is_cut():
    got = await ran(answer=Finished(status=OutcomeStatus.SUCCEEDED, stdout=b"x" * 150))
    assert got.stdout == b"x" * 100
    assert got.dropped_bytes == {"stdout": 50}


async def test_a_runner_that_never_comes_back_is_cut_off(autojump_clock):
    inner = Runner()

    async def run(launch, on_line):
        await trio.sleep_forever()

    inner.run = run
    began = trio.current_time()
    got = await CheckedRunner(inner, Author()).run(LAUNCH, lambda line: True)
    assert "did not come back within 16 s" in got.error
    assert trio.current_time() - began == pytest.approx(16)


async def test_a_cancellation_goes_through_and_what_breaks_beside_it_does_not(autojump_clock):
    inner = Runner()

    async def run(launch, on_line):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("on the way out")

    inner.run = run
    with trio.move_on_after(1) as scope:
        await CheckedRunner(inner, Author()).run(LAUNCH, lambda line: True)
    assert scope.cancel_called


async def test_lines_are_taken_during_the_run_only_and_as_bytes_only():
    heard, kept = [], []

    def does(on_line):
        kept.append(on_line)
        on_line(b"one")
        with pytest.raises(TypeError):
            on_line("text")
        return GOOD

    async def elsewhere(on_line):
        with pytest.raises(RuntimeError, match="another thread"):
            await trio.to_thread.run_sync(on_line, b"two")
        return GOOD

    await CheckedRunner(Runner(does=does), Author()).run(
        LAUNCH, lambda line: heard.append(line) or True
    )
    with pytest.raises(RuntimeError, match="after run had ended"):
        kept[0](b"late")
    inner = Runner()
    inner.run = lambda launch, on_line: elsewhere(on_line)
    assert await CheckedRunner(inner, Author()).run(LAUNCH, lambda line: True) == GOOD
    assert heard == [b"one"]


def test_a_quarantined_runner_cannot_be_used():
    checked = CheckedRunner(Runner(), Author(fault="it hangs"))
    assert checked.available() == "plugin acme 1.0 is quarantined: it hangs"


# ---- skills, probes, connectors ----


async def test_an_interrupt_is_ours_where_a_person_waits_and_the_plugins_in_a_daemon():
    inner = whole(read=raising_async(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        await CheckedConnector(inner, Author()).read({})
    daemons = Author(may_be_interrupted=False)
    with pytest.raises(PluginBrokenError, match="raised KeyboardInterrupt"):
        await CheckedConnector(inner, daemons).read({})
    with pytest.raises(PluginBrokenError, match="raised KeyboardInterrupt"):
        CheckedProbe(whole(probe=raising_sync(KeyboardInterrupt())), daemons).probe()


async def test_a_skills_own_errors_pass_and_others_are_named():
    for error in (UnavailableError("away"), UsageError("never")):
        inner = whole(deliver=raising_async(error))
        with pytest.raises(type(error)) as told:
            await CheckedSkill(inner, Author()).deliver(DELIVERY, {})
        assert told.value is error
    inner = whole(deliver=raising_async(SystemExit(1)), check=raising_sync(ValueError("x")))
    with pytest.raises(PluginBrokenError, match=r"acme 1\.0: skill acme: deliver\(\) raised"):
        await CheckedSkill(inner, Author()).deliver(DELIVERY, {})
    assert "raised ValueError: x" in CheckedSkill(inner, Author()).check({})[0]
    assert CheckedSkill(whole(check=lambda settings: ["a"]), Author()).check({}) == ["a"]
    assert "returned" in CheckedSkill(whole(check=lambda settings: [1]), Author()).check({})[0]
    assert "returned" in CheckedSkill(whole(check=lambda settings: None), Author()).check({})[0]


async def test_a_skill_that_hangs_is_cut_off(autojump_clock):
    async def deliver(delivery, settings):
        await trio.sleep_forever()

    with pytest.raises(PluginBrokenError, match="did not come back"):
        await CheckedSkill(whole(deliver=deliver), Author()).deliver(DELIVERY, {})


def raising_sync(error):
    def does(*_):
        raise error

    return does


def raising_async(error):
    async def does(*_, **__):
        raise error

    return does


def test_a_probe_gives_devices_or_an_error_that_names_it():
    found = Fingerprint(devices=(Device(id="1", kind="gpu"),))
    good = CheckedProbe(whole(probe=lambda: found, environment=lambda lent: {"A": "b"}), Author())
    assert good.probe() == found
    assert good.environment([]) == {"A": "b"}
    for answer in (
        None,
        {"devices": []},
        Fingerprint(devices=({"id": "1"},)),
        Fingerprint(devices=(Device(id=1, kind="gpu"),)),
        Fingerprint(devices=5),
        Fingerprint(devices=(Device(id="", kind="gpu"),)),
        Fingerprint(devices=(Device(id="1", kind="gpu", name="\ud800"),)),
    ):
        with pytest.raises(PluginBrokenError, match=r"probe\(\) returned"):
            CheckedProbe(whole(probe=lambda answer=answer: answer), Author()).probe()
    for answer in (
        None,
        [("A", "b")],
        {"A": 1},
        {1: "b"},
        {"A=": "b"},
        {"": "b"},
        {"A": "\0"},
        {"A": "\ud800"},
    ):
        probe = CheckedProbe(whole(environment=lambda lent, answer=answer: answer), Author())
        with pytest.raises(PluginBrokenError, match=r"environment\(\) returned"):
            probe.environment([])
    with pytest.raises(PluginBrokenError, match="SystemExit"):
        CheckedProbe(whole(probe=raising_sync(SystemExit())), Author()).probe()
    with pytest.raises(PluginBrokenError, match="quarantined"):
        CheckedProbe(whole(), Author(fault="bad")).probe()


async def test_a_connector_gives_a_batch_or_an_error_that_names_it():
    async def read(settings, cursor=None, *, folder=""):
        return answer

    connector = CheckedConnector(whole(read=read), Author())
    answer = Batch([Item(item_id="1", event="x", body={"a": 1})], "c")
    assert await connector.read({}) == answer
    for bad in (
        None,
        [],
        ([], 5),
        ({}, "c"),
        (["x"], "c"),
        ([], "c" * 70_000),
        ([Item(item_id=1, event="x")], "c"),
        ([Item(item_id="1", event="x", body={"a": object()})], "c"),
        ([Item(item_id="1", event="x", body={"a": "\ud800"})], "c"),
        ([Item(item_id="\ud800", event="x")], "c"),
        ([], "\ud800"),
    ):
        answer = bad
        with pytest.raises(PluginBrokenError, match=r"read\(\) returned"):
            await connector.read({})
    away = CheckedConnector(whole(read=raising_async(UnavailableError("away"))), Author())
    with pytest.raises(UnavailableError, match="away"):
        await away.read({})
    assert CheckedConnector(whole(check=lambda settings: []), Author()).check({}) == []


async def test_what_is_said_with_an_error_can_be_written_down():
    for error in (UnavailableError("\ud800"), UnavailableError(5), ValueError("\ud800")):
        connector = CheckedConnector(whole(read=raising_async(error)), Author())
        with pytest.raises(PluginBrokenError, match="plugin acme") as told:
            await connector.read({})
        assert told.value.message.encode()
