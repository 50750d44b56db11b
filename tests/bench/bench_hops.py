"""Hops inside a job as its owner carries them: engine, journal, redacted run folder."""

import os
import sqlite3
import time
from pathlib import Path
from statistics import median

import trio
from rows import Row
from workloads import Node, node, ring, scratch, spread

from mnedge.daemon.clock import wall_clock
from mnedge.model.states import AgentKind
from mnedge.runtime.submission import submit_spec

ROUTERS = 10
HOPS = 100_000
"""A message that was handed on so often is a dead letter; when that is told, all hops are."""
REPEATS = 3


def main() -> list[Row]:
    """Return hops per second of a ring of routers, its run folder complete at the end."""
    ours, floor = [], []
    for _ in range(REPEATS):
        with scratch() as folder:
            ours.append(trio.run(_ring, folder))
            floor.append(_disk_alone(folder))
    return [
        Row(
            "hops inside a job, with journal and redacted run folder",
            median(ours),
            "/s",
            median(floor),
            budget=40_000,
            note=f"min/median/max {spread(ours)}; floor: the same bytes to the same files, "
            "the same facts committed",
        )
    ]


async def _ring(folder: Path) -> float:
    async with node(folder) as here:
        await submit_spec(
            here.store,
            here.config,
            ring(AgentKind.ROUTER, ROUTERS),
            job_id="ring-1",
            now=wall_clock,
        )
        with here.bus.subscribe() as published:
            began = time.perf_counter()
            await here.host.start_job("ring-1")
            async for batch in published:
                if any(event.type == "dead_letter" for event in batch.events):
                    break
            took_s = time.perf_counter() - began
        record = await here.host.finished("ring-1")  # a second later: it is silent
        assert record.events > HOPS, record
        (folder / "facts").write_text(str(await _facts(here)))
    return HOPS / took_s


async def _facts(here: Node) -> int:
    """Return how many facts the job took."""
    return len(await here.store.journal.read("ring-1", limit=1000))


def _disk_alone(folder: Path) -> float:
    """Return hops per second if nothing is done but writing what the run has left behind."""
    facts = int((folder / "facts").read_text())
    left = [path for path in folder.rglob("*.jsonl") if path.is_file()]
    contents = {path: path.read_bytes() for path in left}
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE f (id INTEGER PRIMARY KEY, body BLOB)")
    began = time.perf_counter()
    files = {
        path: os.open(f"{path}.floor", os.O_CREAT | os.O_WRONLY | os.O_APPEND) for path in contents
    }
    for number in range(facts):
        connection.execute("INSERT INTO f VALUES (?, ?)", (number, bytes(100)))
        for path, content in contents.items():
            piece = len(content) // facts + 1
            os.write(files[path], content[number * piece : (number + 1) * piece])
    took_s = time.perf_counter() - began
    for file in files.values():
        os.close(file)
    connection.close()
    return HOPS / took_s
