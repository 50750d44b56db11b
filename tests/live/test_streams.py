"""Five hundred readers of events at once, some of whom never read, while two hundred jobs run."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trio

from tests.gateway.rest.bundles import working
from tests.live.box import Box, until
from tests.live.sse import Stream

pytestmark = pytest.mark.live

JOBS, READERS_OF_EACH, OF_ALL, SLOW, NEVER = 200, 2, 50, 10, 40
BACKLOG = 300
GROWTH_BYTES = 150 << 20
"""What the daemon may grow by: 200 jobs and 500 connections are in it."""
SETTINGS = f"relay:\n  limits: {{streamBacklog: {BACKLOG}, maxStreams: 600}}\n"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.close()


def peak_bytes(pid: int) -> int:
    """Return the most memory that the process ever had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmHWM")


class Load:
    """All readers, and what they have seen."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.of_jobs: dict[str, list[Stream]] = defaultdict(list)
        self.of_all = [Stream("/api/v1/events") for _ in range(OF_ALL)]
        self.slow = [Stream("/api/v1/events") for _ in range(SLOW)]
        self.never = [Stream("/api/v1/events") for _ in range(NEVER)]
        self.all_told = trio.Event()
        self.many_came = trio.Event()

    async def follow(self, job_id: str) -> Stream:
        """Open a reader of one job."""
        stream = Stream(f"/api/v1/jobs/{job_id}/events/stream")
        self.of_jobs[job_id].append(stream)
        await stream.open(self.socket)
        return stream

    async def watch(self, stream: Stream) -> None:
        """Read all jobs' events until every job has told its last."""
        while stream.over < JOBS:
            assert await stream.read(), stream.last
            if len(stream.ids) > BACKLOG * 3.5:
                self.many_came.set()
        await stream.close()

    async def come_late(self, stream: Stream) -> None:
        """Read nothing for long; then what is there."""
        await self.many_came.wait()
        await stream.to_the_end()


async def test_readers_lose_nothing_and_those_who_take_nothing_are_told_and_cut(box: Box) -> None:
    (box.folder / "mnedge.yaml").write_text(SETTINGS)
    data_dir = box.folder / "data"
    box.environ["MNEDGE_DATA_DIR"] = str(data_dir)
    daemon = box.start("daemon", "--config", str(box.folder / "mnedge.yaml"))
    until((data_dir / "endpoints.json").exists)
    socket = data_dir / "mnedge.sock"
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    load = Load(socket)
    with trio.fail_after(120):
        async with httpx.AsyncClient(
            transport=transport, base_url="http://node/api/v1", timeout=60
        ) as api:
            first = (await api.post("/jobs", json=working())).json()["job_id"]
            told = Stream(f"/api/v1/jobs/{first}/events/stream")
            await told.open(socket)
            await told.to_the_end()
            before = peak_bytes(daemon.pid)

            async with trio.open_nursery() as nursery:
                for stream in (*load.of_all, *load.slow, *load.never):
                    await stream.open(socket)
                for stream in load.of_all:
                    nursery.start_soon(load.watch, stream)
                for stream in load.slow:
                    nursery.start_soon(load.come_late, stream)
                while (await api.get("/health")).status_code != 200:
                    pass
                await trio.sleep(1)
                ids = [f"job{number:03d}" for number in range(JOBS)]
                for job_id in ids:
                    sent = {"manifest": working(), "run_id": job_id}
                    answer = await api.post("/jobs", json=sent)
                    assert answer.status_code == 201, answer.text
                    for _ in range(READERS_OF_EACH):
                        nursery.start_soon((await load.follow(job_id)).to_the_end)
            grown = peak_bytes(daemon.pid) - before

            told_of: dict[str, int] = {}
            for job_id in ids:
                page = (await api.get(f"/jobs/{job_id}/events?limit=5000")).json()
                told_of[job_id] = len(page["data"])
                numbers = [one["seq"] for one in page["data"] if "seq" in one]
                assert numbers == list(range(1, len(numbers) + 1))
                for stream in load.of_jobs[job_id]:
                    assert (stream.status, stream.last, stream.whole) == (200, "end", True)
                    assert len(stream.ids) == len(page["data"]) == len(set(stream.ids))
                    assert [one for one in stream.ids if "." not in one] == [
                        str(number) for number in numbers
                    ]
            for stream in load.of_all:
                seen = Counter(one.partition(":")[0] for one in stream.ids)
                other = {one: (seen[one], told_of[one]) for one in ids if seen[one] != told_of[one]}
                assert not other
                assert len(set(stream.ids)) == len(stream.ids)
            for stream in load.slow:
                assert stream.last == "lagged"
                assert stream.whole
            for stream in load.never:
                await stream.to_the_end()
                assert stream.last == "lagged" or not stream.whole  # told in time, or cut
                assert len(stream.ids) < sum(told_of.values())
            assert grown < GROWTH_BYTES, f"{grown >> 20} MiB"
            answer = await api.get("/metrics")
            assert answer.status_code == 200, json.dumps(answer.json())


async def test_clients_that_come_back_after_a_kill_see_each_event_once(box: Box) -> None:
    data_dir = box.folder / "data"
    box.environ["MNEDGE_DATA_DIR"] = str(data_dir)
    socket, endpoints = data_dir / "mnedge.sock", data_dir / "endpoints.json"
    daemon = box.start("daemon")
    until(endpoints.exists)
    ids = [f"job{number}" for number in range(10)]
    seen: dict[str, list[str]] = {job_id: [] for job_id in ids}
    came = {job_id: trio.Event() for job_id in ids}
    dead = trio.Event()

    def api() -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        return httpx.AsyncClient(transport=transport, base_url="http://node/api/v1", timeout=60)

    async def follow(job_id: str) -> None:
        """Read until the daemon dies; come back with the last id; read to the end."""
        while True:
            last = (seen[job_id] or ["0"])[-1]
            stream = Stream(f"/api/v1/jobs/{job_id}/events/stream?after={last}")
            await stream.open(socket)
            while await stream.read():
                if len(stream.ids) > 5:
                    came[job_id].set()
            await stream.close()
            seen[job_id] += stream.ids
            if stream.last == "end":
                return
            await dead.wait()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            async with api() as first:
                for job_id in ids:
                    sent = {"manifest": working("sleep 1.5"), "run_id": job_id}
                    assert (await first.post("/jobs", json=sent)).status_code == 201
                    nursery.start_soon(follow, job_id)
                for event in came.values():
                    await event.wait()
            daemon.kill()
            daemon.wait()
            endpoints.unlink()
            box.start("daemon")
            while not endpoints.exists():
                await trio.sleep(0.02)
            dead.set()
        async with api() as second:
            for job_id in ids:
                page = (await second.get(f"/jobs/{job_id}/events?limit=5000")).json()["data"]
                numbers = [one["seq"] for one in page if "seq" in one]
                assert numbers == list(range(1, len(numbers) + 1))
                assert len(seen[job_id]) == len(page)
                assert [one for one in seen[job_id] if "." not in one] == [str(n) for n in numbers]
