"""Several processes on one data directory, killed where it hurts."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import trio

from mnedge.part import running
from mnedge.ports import Epoch
from mnedge.store.claims import lives
from mnedge.store.schema import is_whole, open_reader
from mnedge.store.sqlite import LOOK_S, SqliteStore
from tests.live.store_child import BATCH, JOBS, fact

pytestmark = pytest.mark.live
ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 20.0


@contextmanager
def child(data_dir, *arguments, fault="", before=()):
    """Have a process at work; it is gone after the block."""
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "tests.live.store_child", str(data_dir), *arguments],
        cwd=ROOT,
        env={**os.environ, "MNEDGE_FAULT": fault},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(data_dir, *arguments, fault):
    """Run a process to its end; return its exit code and the words of each line it said."""
    with child(data_dir, *arguments, fault=fault) as process:
        said, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, [line.split() for line in said.splitlines()]


async def numbers_in(store, job):
    found = []
    while page := await store.journal.read(job, after=found[-1] if found else 0):
        assert all(body == fact(job, seq) for seq, body in page)
        found += [seq for seq, _ in page]
    return found


def assert_whole(data_dir):
    connection = open_reader(str(data_dir / "mnedge.db"))
    assert is_whole(connection) is None
    connection.close()


ORDINALS = (1, 2, 7, 25)


@pytest.mark.parametrize(
    "point,ordinal",
    list(
        itertools.product(
            ("journal.append.before", "journal.append.during", "journal.append.after"), ORDINALS
        )
    ),
)
async def test_kill_9_while_appending_loses_no_acknowledged_fact_and_leaves_no_gap(
    tmp_path, point, ordinal
):
    code, said = ended(tmp_path, "append", "30", fault=f"{point}:{ordinal}:kill")
    assert code == -signal.SIGKILL
    acknowledged = {job: int(seq) for job, seq in said}
    assert_whole(tmp_path)
    async with running(SqliteStore(tmp_path)) as store:
        for job in (f"job-{number}" for number in range(JOBS)):
            found = await numbers_in(store, job)
            assert found == list(range(1, len(found) + 1))
            assert len(found) >= acknowledged.get(job, 0)
            assert len(found) % BATCH == 0, "a batch is kept whole or not at all"
            await store.journal.append(job, Epoch(0, 1), len(found) + 1, [b"goes on"])
        assert store.reports == []


@pytest.mark.parametrize("ordinal", [1, 3])
@pytest.mark.parametrize(
    "point",
    [
        "journal.append.after",
        "journal.snapshot.before",
        "journal.snapshot.after",
        "journal.compact.after",
        "blob.put.before_rename",
        "blob.put.after_rename",
        "table.put.after",
    ],
)
async def test_kill_9_anywhere_else_leaves_everything_that_was_acknowledged(
    tmp_path, point, ordinal
):
    code, said = ended(tmp_path, "keep", "4", fault=f"{point}:{ordinal}:kill")
    assert code == -signal.SIGKILL
    last = dict(said)
    assert_whole(tmp_path)
    async with running(SqliteStore(tmp_path)) as store:
        state = await store.journal.latest_snapshot("kept")
        assert (state[0] if state else 0) >= int(last.get("snapshot", 0))
        assert state is None or state[1] == b"state at %d" % state[0]
        after = state[0] if state else 0
        rest = [seq for seq, _ in await store.journal.read("kept", after=after)]
        assert rest == list(range(after + 1, after + 1 + len(rest)))
        assert after + len(rest) >= int(last.get("append", 0))
        for words in said:
            if words[0] == "blob":
                await store.blobs.get(words[1])
        row = await store.table.get("row")
        assert (row.version if row else 0) >= int(last.get("row", 0))
        assert os.listdir(tmp_path / "blobs" / "unfinished") == []
        claim = await store.claims.claim("job/kept")
        assert claim is not None
        assert claim.epoch > Epoch(0, 1)
        assert store.reports == []


async def test_a_claim_is_free_as_soon_as_its_holder_was_killed(tmp_path):
    async with running(SqliteStore(tmp_path)) as store:
        with child(tmp_path, "claim", "job/1") as process:
            counter, holder = process.stdout.readline().split()
            assert await store.claims.claim("job/1") is None
            assert await store.claims.holder("job/1") == holder
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            claim = await store.claims.claim("job/1")
            assert claim is not None
            assert claim.epoch > Epoch(0, int(counter))


async def test_of_many_processes_one_is_granted_the_claim(tmp_path):
    with (
        child(tmp_path, "claim", "leader") as one,
        child(tmp_path, "claim", "leader") as two,
        child(tmp_path, "claim", "leader") as three,
    ):
        answers = [process.stdout.readline().split()[0] for process in (one, two, three)]
    assert sorted(answers)[1:] == ["none", "none"]


APART = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


async def test_a_holder_in_another_container_is_seen_to_live_and_to_die(tmp_path):
    if not shutil.which("unshare") or subprocess.run([*APART, "true"]).returncode:
        pytest.skip("no pid namespace can be made here: that needs root, and / as a mount point")
    async with running(SqliteStore(tmp_path)) as store:
        with child(tmp_path, "claim", "job/1", before=APART) as process:
            _, holder = process.stdout.readline().split()
            assert len(holder.split(":")) == 4
            assert not lives(holder)  # its pid cannot be seen from here
            assert await store.claims.claim("job/1") is None
            process.kill()
            with trio.fail_after(PATIENCE_S):
                while await store.claims.claim("job/1") is None:
                    await trio.sleep(0.02)


async def test_processes_that_open_a_new_store_at_once_all_find_it_in_order(tmp_path):
    def run_all():
        with (
            child(tmp_path / "new", "add", "a", "10") as one,
            child(tmp_path / "new", "add", "a", "10") as two,
            child(tmp_path / "new", "add", "a", "10") as three,
        ):
            return [p.communicate(timeout=PATIENCE_S)[0] for p in (one, two, three)]

    assert await trio.to_thread.run_sync(run_all) == ["done\n"] * 3
    async with running(SqliteStore(tmp_path / "new")) as store:
        row = await store.table.get("a")
        assert row.version == 30
        assert len(await store.table.scan("a/")) == 30
    assert_whole(tmp_path / "new")


async def test_a_write_by_another_process_reaches_a_watcher_at_once(tmp_path):
    took = []
    async with running(SqliteStore(tmp_path)) as store:
        watch = aiter(store.table.watch("ask/"))
        await anext(watch)
        keys = [f"ask/{number}" for number in range(5)]
        with child(tmp_path, "put", *keys) as process:
            assert process.stdout.readline() == "ready\n"
            for key in keys:
                process.stdin.write("\n")
                process.stdin.flush()
                begun = time.monotonic()
                with trio.fail_after(PATIENCE_S):
                    rows = await anext(watch)
                took.append(time.monotonic() - begun)
                assert [row.key for row in rows] == [key]
    assert min(took) < LOOK_S / 4, took


async def test_a_watcher_whose_bell_is_gone_finds_the_write_by_looking(tmp_path):
    async with running(SqliteStore(tmp_path)) as store:
        watch = aiter(store.table.watch("ask/"))
        await anext(watch)
        for name in os.listdir(tmp_path / "doorbells"):
            os.unlink(tmp_path / "doorbells" / name)
        with child(tmp_path, "put", "ask/1") as process:
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("\n")
            process.stdin.flush()
            with trio.fail_after(PATIENCE_S):
                assert [row.key for row in await anext(watch)] == ["ask/1"]


def wakeups(pid):
    return sum(
        int(line.split()[1])
        for task in Path(f"/proc/{pid}/task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


@pytest.mark.parametrize("prefix,per_second", [("", 0.0), ("job/", 1.0)])
async def test_an_idle_store_sleeps_and_writes_nothing(tmp_path, prefix, per_second):
    with child(tmp_path, "idle", *([prefix] if prefix else [])) as process:
        assert process.stdout.readline() == "ready\n"
        await trio.sleep(0.5)
        watched = psutil.Process(process.pid)
        # Not `write_bytes`: it counts the shared memory of the log too, when that is first touched.
        woken, written = wakeups(process.pid), watched.io_counters().write_chars
        files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
        pause_s = 4.0
        await trio.sleep(pause_s)
        # A few may have other causes (a page, a worker thread that ends); a poll makes many more.
        assert wakeups(process.pid) - woken <= per_second * pause_s + 3
        assert watched.io_counters().write_chars == written
        assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files
