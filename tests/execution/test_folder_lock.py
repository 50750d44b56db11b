import json
import os
import subprocess
import sys

import pytest
import trio

from mnedge.execution.folder_lock import locked, remove, take
from mnedge.execution.refusal import RefusedError


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "key.lock"


async def test_one_at_a_time_holds_it(lock, autojump_clock):
    inside = peak = 0

    async def hold():
        nonlocal inside, peak
        async with locked(lock, 100.0):
            inside += 1
            peak = max(peak, inside)
            await trio.sleep(1)
            inside -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(hold)
    assert peak == 1
    assert not lock.exists()


async def test_it_names_its_holder_from_the_first_moment(lock):
    async with locked(lock, 1.0):
        holder = json.loads((lock / "holder.json").read_text())
        assert holder["pid"] == os.getpid()
        assert holder["started"] > 0
        assert len(holder["boot_id"]) == 36
        assert not take(lock)


async def test_waiting_has_an_end(lock, autojump_clock):
    assert take(lock)
    with pytest.raises(RefusedError, match="timed out waiting for python_environment lock"):
        async with locked(lock, 5.0):
            pytest.fail("it is held")
    assert lock.exists()


@pytest.mark.live
async def test_a_lock_of_the_dead_is_taken_over(lock, autojump_clock):
    code = "import sys; from pathlib import Path; from mnedge.execution.folder_lock import take; "
    path = os.pathsep.join(entry for entry in sys.path if entry)
    subprocess.run(
        [sys.executable, "-c", code + "take(Path(sys.argv[1]))", str(lock)],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
    assert lock.exists()
    async with locked(lock, 1.0):
        assert json.loads((lock / "holder.json").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("change", [{"started": 1}, {"boot_id": "another boot"}])
async def test_a_number_used_again_is_not_the_holder(lock, autojump_clock, change):
    assert take(lock)
    holder = json.loads((lock / "holder.json").read_text())
    (lock / "holder.json").write_text(json.dumps({**holder, **change}))
    async with locked(lock, 1.0):
        pass


@pytest.mark.parametrize("content", [None, "", "{}", "[]", "null"])
async def test_a_lock_that_names_nobody_is_not_ours_to_judge(lock, autojump_clock, content):
    lock.mkdir()
    (lock / "else").touch()
    if content is not None:
        (lock / "holder.json").write_text(content)
    with pytest.raises(RefusedError):
        async with locked(lock, 2.0):
            pytest.fail("somebody else may hold it")


def test_removing_what_is_not_there_is_no_error(lock):
    remove(lock)
