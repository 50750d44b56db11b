"""Facts committed with an fsync per batch, beside plain SQLite doing the same in one thread."""

import sqlite3
import time
from functools import partial
from statistics import quantiles
from zlib import crc32

import trio
from rows import Row
from workloads import scratch

from mnedge.part import running
from mnedge.ports import Epoch
from mnedge.store.sqlite import SqliteStore

BODY_BYTES = 200
SECONDS = 1.5
EPOCH = Epoch(0, 1)


def main() -> list[Row]:
    """Return the figures of the store."""
    rows: list[Row] = []
    for batch, budget in ((64, 0.6), (1, None)):
        before, floor_p99 = _floor(batch)
        ours = {jobs: trio.run(partial(_journal, batch, jobs)) for jobs in (1, 8)}
        floor = (before + _floor(batch)[0]) / 2  # the disk of a shared machine drifts
        rows += [
            Row(
                f"facts committed, fsync each, batch {batch}, {jobs} job{'s' * (jobs > 1)}",
                value,
                "/s",
                floor,
                budget_ratio=budget,
                note=f"p99 {p99 * 1e3:.2f} ms, floor p99 {floor_p99 * 1e3:.2f} ms",
            )
            for jobs, (value, p99) in ours.items()
        ]
    return rows


def _floor(batch: int) -> tuple[float, float]:
    """Return rows per second and p99 of a commit: the rows that the journal writes, and no more."""
    with scratch() as folder:
        connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("CREATE TABLE f (id INTEGER PRIMARY KEY, crc INTEGER, body BLOB)")
        body, seq, took = bytes(BODY_BYTES), 1 << 36, []
        until = time.perf_counter() + SECONDS
        while (begun := time.perf_counter()) < until:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO f VALUES (?, ?, ?)",
                [
                    (number, crc32(body, number & 0xFFFF), body)
                    for number in range(seq, seq + batch)
                ],
            )
            connection.execute("COMMIT")
            took.append(time.perf_counter() - begun)
            seq += batch
        connection.close()
    return len(took) * batch / sum(took), quantiles(took, n=100)[-1]


async def _journal(batch: int, producers: int) -> tuple[float, float]:
    """Each producer awaits its own append before the next, as a coordinator does."""
    took: list[float] = []
    with scratch() as folder:
        async with running(SqliteStore(folder)) as store:
            begun = time.perf_counter()

            async def produce(name: str) -> None:
                body, seq = bytes(BODY_BYTES), 1
                while (at := time.perf_counter()) < begun + SECONDS:
                    await store.journal.append(name, EPOCH, seq, [body] * batch)
                    took.append(time.perf_counter() - at)
                    seq += batch

            async with trio.open_nursery() as nursery:
                for number in range(producers):
                    nursery.start_soon(produce, f"job-{number}")
            elapsed = time.perf_counter() - begun
    return len(took) * batch / elapsed, quantiles(took, n=100)[-1]


if __name__ == "__main__":
    from rows import table

    print(table(main()))
