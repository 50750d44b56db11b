"""Bells between processes: rung with keys, never waited for, stale ones taken down."""

import os
import socket
from contextlib import ExitStack

import pytest
import trio

from mnedge.store.claims import this_process
from mnedge.store.doorbell import LETTER_BYTES, Doorbell
from mnedge.store.table import Watchers

pytestmark = pytest.mark.live
PATIENCE_S = 10.0


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "doorbells")


def names(folder):
    return sorted(os.listdir(folder))


async def rings(doorbell, bell, watchers, act):
    """Return the prefixes of those whom the act woke within the listening process."""
    rungs = {prefix: watchers.watching(prefix) for prefix in ("ask/", "job/")}
    woken = []

    async def wait(prefix, rung):
        await rung.wait()
        woken.append(prefix)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(doorbell.listen, bell)
        for prefix, rung in rungs.items():
            nursery.start_soon(wait, prefix, rung)
        await trio.testing.wait_all_tasks_blocked()
        act()
        with trio.move_on_after(PATIENCE_S):
            while not woken:
                await trio.sleep(0.005)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return sorted(woken)


@pytest.mark.parametrize(
    "keys,woken",
    [
        (["ask/1"], ["ask/"]),
        (["ask/1", "job/2", "ü"], ["ask/", "job/"]),
        (["k" * LETTER_BYTES, "z"], ["ask/", "job/"]),
    ],
)
async def test_a_ring_wakes_those_who_watch_the_keys_in_another_process(folder, keys, woken):
    watchers = Watchers()
    one, two = Doorbell(folder, watchers), Doorbell(folder, Watchers())
    with one.hung() as bell, two.hung():
        assert one.bound
        assert await rings(one, bell, watchers, lambda: two.ring(keys)) == woken


def test_bells_of_one_process_have_names_of_their_own_and_go_with_it(folder):
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Doorbell(folder, Watchers()).hung())
        start = f"{this_process().pid}-{this_process().start}-"
        assert len(names(folder)) == 3
        assert all(name.startswith(start) for name in names(folder))
    assert names(folder) == []


def test_a_bell_hangs_however_deep_its_folder_is(tmp_path):
    folder = str(tmp_path.joinpath(*["deep" * 10] * 5))
    with Doorbell(folder, Watchers()).hung() as bell:
        assert bell is not None
        assert len(names(folder)) == 1


def test_a_bell_that_nobody_listens_to_any_more_is_taken_down(folder):
    with Doorbell(folder, Watchers()).hung():
        stale = os.path.join(folder, "1-1-1-1.sock")
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        dead.bind(os.path.relpath(stale))
        dead.close()
        with Doorbell(folder, Watchers()).hung():
            assert os.path.exists(stale)
        other = Doorbell(folder, Watchers())
        with other.hung():
            other.ring(["a"])
            assert not os.path.exists(stale)
            assert len(names(folder)) == 2


def test_ringing_a_full_bell_waits_for_nobody(folder):
    one, two = Doorbell(folder, Watchers()), Doorbell(folder, Watchers())
    with one.hung(), two.hung():
        for _ in range(5000):
            two.ring(["job/1"])
        assert len(names(folder)) == 2


def test_what_is_no_bell_is_left_alone(folder):
    one = Doorbell(folder, Watchers())
    with one.hung():
        for name in ("notes.txt", "x.sock"):
            with open(os.path.join(folder, name), "w"):
                pass
        one.ring(["a"])
        assert {"notes.txt", "x.sock"} <= set(names(folder))


def test_a_process_answers_while_its_bell_hangs(folder):
    one, two = Doorbell(folder, Watchers()), Doorbell(folder, Watchers())
    with one.hung():
        with two.hung():
            assert one.answers(this_process())
            assert not one.answers(this_process()._replace(pid=1))
        assert one.answers(this_process())  # its own bell
    assert not one.answers(this_process())


def test_where_no_bell_can_hang_there_is_none_and_ringing_does_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    doorbell = Doorbell(str(tmp_path / "file"), Watchers())
    with doorbell.hung() as bell:
        assert bell is None
        assert not doorbell.bound
        doorbell.ring(["a"])
