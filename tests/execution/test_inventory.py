import threading

import pytest
import trio

from mnedge.execution import inventory as module
from mnedge.execution.inventory import Inventory
from mnedge.model.resources import Device, Fingerprint
from mnedge.part import running

pytestmark = pytest.mark.live
SOON_S = 5.0


class Probe:
    """Answers with what it is told to."""

    def __init__(self, name, *ids, watched=(), **more):
        self.name = name
        self.watched = watched
        self.answer = self.found(*ids, **more)
        self.asked = 0

    def found(self, *ids, **more):
        devices = [Device(**{"id": own, "kind": self.name, **more}) for own in ids]
        return Fingerprint(devices=tuple(devices), capabilities=(self.name,) if ids else ())

    def probe(self):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer() if callable(self.answer) else self.answer

    def environment(self, lent):
        return {self.name.upper(): ",".join(device.id for device in lent)}


class Told(list):
    def __call__(self, level, message, fields):
        self.append((level, message))

    def of(self, text):
        return [message for _, message in self if text in message]


@pytest.fixture
def told():
    return Told()


def an_inventory(told, *probes, **more):
    return Inventory({probe.name: probe for probe in probes}, tell=told, **more)


def ids(inventory, *, healthy=None):
    return [one.id for one in inventory.devices if healthy in (None, one.healthy)]


async def test_the_first_who_wants_to_know_makes_it_look_and_once_is_enough(told):
    probe = Probe("gpu", "b", "a")
    inventory = an_inventory(told, probe, Probe("camera", "c"))
    assert not inventory.looked
    await inventory.known()
    await inventory.known()
    assert probe.asked == 1
    assert ids(inventory) == ["c", "a", "b"]
    assert inventory.capabilities == ("camera", "gpu")
    assert told == [("info", "devices of this machine: 1 camera, 2 gpu")]


async def test_what_comes_and_goes_is_told_and_followed(told):
    probe, changes = Probe("camera", "a"), []
    inventory = an_inventory(told, probe)
    inventory.follow(changes.append)
    await inventory.known()
    probe.answer = probe.found("b")
    await inventory.look()
    assert ids(inventory) == ["b"]
    assert changes[-1].gone == {"a"}
    assert told.of("device is gone: camera a")
    assert told.of("device appeared: camera b")
    await inventory.look()
    assert len(changes) == 2, "nothing changed"


async def test_what_vanishes_while_it_is_lent_stays_as_unhealthy_until_it_is_back(told):
    probe, changes = Probe("camera", "a"), []
    inventory = an_inventory(told, probe)
    inventory.lent = lambda: {"a": 1}
    inventory.follow(changes.append)
    await inventory.known()
    probe.answer = probe.found()
    await inventory.look()
    assert ids(inventory, healthy=False) == ["a"]
    assert changes[-1].gone == {"a"}
    assert told.of("device is gone while it is lent: camera a")
    inventory.lent = dict
    await inventory.look()
    assert ids(inventory, healthy=False) == ["a"]
    probe.answer = probe.found("a")
    await inventory.look()
    assert ids(inventory, healthy=True) == ["a"]
    assert told.of("device appeared: camera a")


async def test_what_a_probe_that_fails_found_last_is_unhealthy_and_not_lost(told):
    probe, changes = Probe("gpu", "a"), []
    inventory = an_inventory(told, probe, Probe("camera", "c"))
    inventory.follow(changes.append)
    await inventory.known()
    probe.answer = OSError("the driver is broken")
    await inventory.look()
    assert ids(inventory, healthy=False) == ["a"]
    assert changes[-1].gone == frozenset()
    assert told.of("device probe gpu: OSError: the driver is broken")
    (bad,) = [one for one in inventory.probes if one.problem]
    assert (bad.name, bad.devices) == ("gpu", 1)
    await inventory.look()
    assert len(told.of("the driver is broken")) == 1, "once is enough"
    probe.answer = probe.found("a")
    await inventory.look()
    assert ids(inventory, healthy=True) == ["c", "a"]


@pytest.mark.parametrize(
    "answer,problem",
    [
        (["a"], "TypeError: it answered list, not a Fingerprint"),
        (Fingerprint(devices=["a"]), "ValidationError"),
        (Fingerprint(devices=[Device(id=5, kind="gpu")]), "ValidationError"),
        (Fingerprint(devices=[Device(id="a", kind="gpu", shares="many")]), "ValidationError"),
        (Fingerprint(capabilities=[None]), "ValidationError"),
    ],
)
async def test_an_answer_that_is_none_is_a_problem_and_harms_nobody(told, answer, problem):
    probe = Probe("gpu")
    probe.answer = lambda: answer
    inventory = an_inventory(told, probe, Probe("camera", "c"))
    await inventory.known()
    assert inventory.probes[1].problem.startswith(problem)
    assert ids(inventory) == ["c"]


@pytest.mark.parametrize("watched", ["/dev", ("dev",), None, 7])
async def test_a_probe_that_wants_nonsense_watched_is_named_and_the_others_are_watched(
    told, watched, tmp_path
):
    inventory = an_inventory(told, Probe("gpu", "a", watched=watched), Probe("camera"))
    async with running(inventory):
        with trio.fail_after(SOON_S):
            await inventory.known()
            while not told.of("which are no whole paths"):
                await trio.sleep(0.01)


async def test_a_probe_that_hangs_is_left_out_and_asked_again_once_it_came_back(told, monkeypatch):
    monkeypatch.setattr(module, "LIMIT_S", 0.1)
    free, probe = threading.Event(), Probe("gpu", "a")
    answer = probe.answer
    probe.answer = lambda: free.wait(SOON_S) and answer
    inventory = an_inventory(told, probe, Probe("camera", "c"))
    await inventory.known()
    assert ids(inventory) == ["c"]
    assert told.of("device probe gpu: it did not answer within 0.1 s")
    await inventory.look()
    assert probe.asked == 1, "a second thread would hang as well"
    free.set()
    with trio.fail_after(SOON_S):
        while inventory._hanging:
            await trio.sleep(0.01)
    await inventory.look()
    assert ids(inventory) == ["c", "a"]


async def test_who_is_cancelled_while_probes_look_leaves_nothing_unseen(told):
    free, probe = threading.Event(), Probe("gpu", "a")
    answer = probe.answer
    probe.answer = lambda: free.wait(SOON_S) and answer
    inventory = an_inventory(told, probe)
    with trio.move_on_after(0.1):
        await inventory.known()
    assert not inventory.looked
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inventory.known)
        await trio.sleep(0.1)
        free.set()
    assert ids(inventory) == ["a"]
    assert inventory.probes[0].problem == ""


async def test_a_thread_that_hangs_since_somebody_was_cancelled_is_given_up_like_any(
    told, monkeypatch
):
    monkeypatch.setattr(module, "LIMIT_S", 0.2)
    free, probe = threading.Event(), Probe("gpu", "a")
    probe.answer = lambda: free.wait(SOON_S) and Fingerprint()
    inventory = an_inventory(told, probe)
    with trio.move_on_after(0.05):
        await inventory.known()
    await inventory.known()
    free.set()
    assert inventory.probes[0].problem == "it did not answer within 0.2 s"
    assert probe.asked == 1


async def test_two_devices_of_one_id_are_one_and_a_problem(told):
    inventory = an_inventory(told, Probe("a", "same"), Probe("b", "same"))
    await inventory.known()
    assert ids(inventory) == ["same"]
    assert "two devices have the id same" in inventory.probes[1].problem


async def test_a_device_that_is_there_already_makes_no_other_ill_and_is_told_once(told):
    probe = Probe("b", "first", "same", "last")
    inventory = an_inventory(told, Probe("a", "same"), probe)
    for _ in range(2):
        await inventory.look()
        await inventory.look(["a"])
        assert ids(inventory, healthy=True) == ["same", "first", "last"]
    assert len(told.of("two devices have the id same")) == 1
    probe.answer = probe.found("first", "last")
    await inventory.look()
    assert [one.problem for one in inventory.probes] == ["", ""]


async def test_a_probe_that_is_switched_off_is_not_asked(told):
    probe = Probe("gpu", "a")
    inventory = an_inventory(told, probe, disabled=["gpu"])
    await inventory.known()
    assert probe.asked == 0
    assert inventory.probes == []


async def test_the_operators_word_wins(told):
    inventory = an_inventory(told, Probe("gpu", "a"), environ={"MN_NODE_GPU_COUNT": "0"})
    await inventory.known()
    assert inventory.devices == ()


async def test_workers_are_told_through_the_probes_whose_devices_are_there(told):
    inventory = an_inventory(told, Probe("gpu", "a", "b"), Probe("npu"), Probe("camera", "c"))
    await inventory.known()
    lent = [one for one in inventory.devices if one.id in "ac"]
    assert inventory.environment(lent) == {"GPU": "a", "CAMERA": "c"}
    assert inventory.environment([]) == {"GPU": "", "CAMERA": ""}


async def test_a_probe_that_cannot_say_what_to_tell_spoils_nothing(told):
    bad, worse = Probe("gpu", "a"), Probe("npu", "n")
    bad.environment = lambda lent: {}["no"]
    worse.environment = lambda lent: {"N": len(lent)}
    inventory = an_inventory(told, bad, worse, Probe("camera", "c"))
    await inventory.known()
    assert inventory.environment(inventory.devices) == {"CAMERA": "c"}
    assert told.of("device probe gpu: KeyError")
    assert told.of("device probe npu: ValidationError")


async def test_a_watched_folder_makes_its_probe_look_again_and_no_other(
    told, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "SETTLE_S", 0.05)
    probe = Probe("camera", watched=(str(tmp_path / "dev"),))
    other = Probe("gpu", watched=(str(tmp_path / "elsewhere"),))
    (tmp_path / "dev").mkdir()
    (tmp_path / "elsewhere").mkdir()
    inventory = an_inventory(told, probe, other)
    async with running(inventory):
        with trio.fail_after(SOON_S):
            while not inventory.looked or probe.asked < 1:
                await trio.sleep(0.01)
            await trio.testing.wait_all_tasks_blocked(0.1)
            asked = other.asked
            probe.answer = probe.found("a")
            (tmp_path / "dev" / "video0").touch()
            while not inventory.devices:
                await trio.sleep(0.01)
        assert other.asked == asked


async def test_free_memory_is_looked_at_only_where_there_is_a_gpu(told, monkeypatch):
    monkeypatch.setattr(module, "MEMORY_S", 0.05)
    gpu, camera = Probe("gpu", "a", memory_free_mb=5), Probe("camera", "c")
    inventory = an_inventory(told, gpu, camera)
    async with running(inventory):
        with trio.fail_after(SOON_S):
            while gpu.asked < 3:
                await trio.sleep(0.01)
    assert camera.asked == 1


async def test_it_is_ready_before_it_has_looked_and_looks_when_it_is_asked_to(told, monkeypatch):
    free, probe = threading.Event(), Probe("gpu", "a")
    answer = probe.answer
    probe.answer = lambda: free.wait(SOON_S) and answer
    inventory = an_inventory(told, probe)
    async with running(inventory):
        assert not inventory.looked
        free.set()
        with trio.fail_after(SOON_S):
            await inventory.known()
            inventory.look_soon()
            while probe.asked < 2:
                await trio.sleep(0.01)


async def test_without_a_watch_it_still_looks_and_says_that_it_will_not_notice(told, monkeypatch):
    def refused():
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module, "FolderWatch", refused)
    inventory = an_inventory(told, Probe("gpu", "a"))
    async with running(inventory):
        with trio.fail_after(SOON_S):
            await inventory.known()
            while not told.of("are not noticed"):
                await trio.sleep(0.01)
    assert ids(inventory) == ["a"]


async def test_where_nodes_come_and_go_in_vain_it_looks_less_and_less_often(
    told, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "SETTLE_S", 0.02)
    probe = Probe("camera", watched=(str(tmp_path),))
    async with running(an_inventory(told, probe)):
        await trio.testing.wait_all_tasks_blocked(0.1)
        before = probe.asked
        with trio.move_on_after(1.0):
            while True:
                (tmp_path / "loop0").touch()
                (tmp_path / "loop0").unlink()
                await trio.sleep(0.1)  # quiet enough to look each time, if nobody minded
        assert 1 <= probe.asked - before <= 6
        probe.answer = probe.found("a")
        (tmp_path / "video0").touch()
        with trio.fail_after(SOON_S):
            while not told.of("device appeared"):
                await trio.sleep(0.01)
