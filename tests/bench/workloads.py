"""Jobs to measure with, and a node in this process that carries them."""

import fcntl
import os
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from mnedge.bus import Bus
from mnedge.config.settings import Config
from mnedge.daemon.clock import wall_clock
from mnedge.model.facts import Completion, Outcome, Structured
from mnedge.model.manifest import Agent, Edge, JobSpec
from mnedge.model.states import AgentKind, OutcomeStatus
from mnedge.part import running
from mnedge.runtime.host import Host
from mnedge.store.sqlite import SqliteStore

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_TOPDIR_FL = 0x80086601, 0x40086602, 0x00020000
"""Of Linux: file attributes, as `lsattr` and `chattr +T` use them."""


class Node(NamedTuple):
    """A host and what it stands on."""

    config: Config
    store: SqliteStore
    bus: Bus
    host: Host


class Instant:
    """Work that takes no time; after `steps` attempts of a job, its run is complete."""

    def __init__(self, steps: int = 0) -> None:
        self._steps = steps
        self._begun: dict[str, list[float]] = {}

    def rate(self) -> float:
        """Return steps per second of all jobs while each of them was under way."""
        begun = self._begun.values()
        first, last = max(times[0] for times in begun), min(times[-1] for times in begun)
        return sum(first < at <= last for times in begun for at in times) / (last - first)

    async def run(self, order: Any, note: Any) -> Outcome:
        """Answer as a worker does that printed `ok`."""
        times = self._begun.setdefault(order.job.job_id, [])
        times.append(time.perf_counter())
        done = len(times)
        end = Structured(completions=[Completion(scope="run", value={"steps": done})])
        return Outcome(
            status=OutcomeStatus.SUCCEEDED,
            result={"exit_code": 0, "stdout": "ok", "stderr": "", "attempts": 1, "lease": {}},
            structured=end if done >= self._steps else None,
        )

    async def sweep(self, job_id: str) -> int:
        """Nothing was left behind."""
        return 0

    async def close(self, job_id: str) -> None:
        """Nothing to remove."""

    @asynccontextmanager
    async def module_workers(self, job: Any) -> AsyncIterator[None]:
        """No job here has module agents."""
        yield


@asynccontextmanager
async def node(folder: Path, work: Any = None) -> AsyncIterator[Node]:
    """Have a node running in this process, its store with an fsync per commit."""
    config = Config(data_dir=folder / "data", runs_root=folder / "runs", home=folder, environ={})
    bus = Bus()
    async with (
        running(SqliteStore(config.data_dir)) as store,
        running(Host(store, config, work or Instant(), bus, now=wall_clock)) as host,
    ):
        yield Node(config, store, bus, host)


def ring(kind: AgentKind, size: int, seeds: int = 1, **settings: Any) -> JobSpec:
    """Return a job whose agents hand each message round for ever."""
    names = [f"agent{number:02d}" for number in range(size)]
    pairs = zip(names, [*names[1:], names[0]], strict=True)
    return JobSpec(
        blueprint_id="bench_ring",
        graph_id="bench_ring_v1",
        job_name="bench-ring",
        agents=[Agent(agent_id=name, kind=kind, config=dict(settings)) for name in names],
        edges=[
            Edge(edge_id=f"{sender}__*__{target}", sender=sender, target=target, message_type="*")
            for sender, target in pairs
        ],
        entrypoints=[names[0]],
        seeds={names[0]: [{"text": "hello", "number": number} for number in range(seeds)]},
    )


def worker_job(commands: Sequence[list[str]]) -> JobSpec:
    """Return a job with one worker process for each command; it ends with the last of them."""
    names = [f"worker{number:03d}" for number in range(len(commands))]
    workers = [
        Agent(
            agent_id=name,
            kind=AgentKind.EXECUTOR,
            config={"runner_module": "MirrorNeuron.Runner.HostLocal", "command": command},
        )
        for name, command in zip(names, commands, strict=True)
    ]
    sink = Agent(
        agent_id="sink", kind=AgentKind.AGGREGATOR, config={"complete_after": len(commands)}
    )
    return JobSpec(
        blueprint_id="bench_workers",
        graph_id="bench_workers_v1",
        job_name="bench-workers",
        agents=[*workers, sink],
        edges=[
            Edge(edge_id=f"{name}__*__sink", sender=name, target="sink", message_type="*")
            for name in names
        ],
        entrypoints=names,
        seeds={name: [{}] for name in names},
    )


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return how much repeats differ: least, middle, greatest."""
    low, middle, high = min(values), median(values), max(values)
    return f"{low:.{digits}f}/{middle:.{digits}f}/{high:.{digits}f} of {len(values)}"


@contextmanager
def scratch() -> Iterator[Path]:
    """Have an empty folder on a real disk: an fsync into memory says nothing.

    ext4 looks at every file of a block group that was deleted in the last minutes before it makes
    a new one there, and benchmarks delete many; so each scratch folder gets a group of its own.
    """
    disk = os.environ.get("MNEDGE_BENCH_DIR", "/var/tmp")
    with tempfile.TemporaryDirectory(dir=disk) as above:
        with suppress(OSError):
            _spread_out(above)
        folder = Path(above) / "scratch"
        folder.mkdir()
        yield folder


def _spread_out(folder: str) -> None:
    """Have what is made in the folder lie far from it, as what is made in `/` does."""
    file = os.open(folder, os.O_RDONLY)
    try:
        (flags,) = struct.unpack("i", fcntl.ioctl(file, FS_IOC_GETFLAGS, bytes(4)))
        fcntl.ioctl(file, FS_IOC_SETFLAGS, struct.pack("i", flags | FS_TOPDIR_FL))
    finally:
        os.close(file)
