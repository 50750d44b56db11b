"""A process that uses a store and says on stdout what it was told is done.

`python -m tests.live.store_child DATA_DIR VERB [ARGUMENT…]`; it goes on when it reads a line.
"""

import os
import sys

import trio

from mnedge.part import running
from mnedge.ports import Epoch
from mnedge.store.sqlite import SqliteStore

BATCH = 3
JOBS = 4


def say(*words):
    """Say a line at once: killed in the middle of it, it was said whole or not at all."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def line():
    return await trio.to_thread.run_sync(sys.stdin.readline)


def fact(job, seq):
    return f"{job} {seq}".encode() * 20


async def append(store, rounds):
    """Fill several jobs at once; each acknowledged number is said before the next is asked for."""

    async def fill(job):
        for first in range(1, int(rounds) * BATCH, BATCH):
            records = [fact(job, seq) for seq in range(first, first + BATCH)]
            await store.journal.append(job, Epoch(0, 1), first, records)
            say(job, first + BATCH - 1)

    async with trio.open_nursery() as nursery:
        for number in range(JOBS):
            nursery.start_soon(fill, f"job-{number}")


async def keep(store, rounds):
    """Append, snapshot and compact one job, then put a blob and a row, again and again."""
    claim = await store.claims.claim("job/kept")
    for round_ in range(1, int(rounds) + 1):
        first = (round_ - 1) * BATCH + 1
        records = [fact("kept", seq) for seq in range(first, first + BATCH)]
        await store.journal.append("kept", claim.epoch, first, records)
        say("append", first + BATCH - 1)
        await store.journal.snapshot("kept", claim.epoch, first + 1, b"state at %d" % (first + 1))
        say("snapshot", first + 1)
        await store.journal.compact("kept", claim.epoch, first + 1)
        say("blob", await store.blobs.put(b"blob %d" % round_))
        say("row", await store.table.put("row", b"%d" % round_))


async def claim(store, key):
    granted = await store.claims.claim(key)
    say(granted.epoch.counter if granted else "none", granted.holder if granted else "")
    await line()


async def put(store, *keys):
    say("ready")
    for key in keys:
        await line()
        await store.table.put(key, b"from a child")
        say("put", key)
    await line()


async def add(store, key, times):
    for _ in range(int(times)):
        await store.table.put(f"{key}/{await store.table.put(key, b'')}", b"")
    say("done")


async def idle(store, prefix=""):
    async def watch():
        async for _ in store.table.watch(prefix):
            pass

    async with trio.open_nursery() as nursery:
        if prefix:
            nursery.start_soon(watch)
        await trio.sleep(0.3)
        say("ready")


async def main(data_dir, verb, *arguments):
    async with running(SqliteStore(data_dir)) as store:
        await globals()[verb](store, *arguments)
        if verb == "idle":
            await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
