"""kill -9 of a daemon under load: the next one has everything going again within moments."""

import re
import time
from collections import Counter

import psutil
import pytest
import trio

from mnedge.config.read import read_config
from mnedge.daemon.clock import wall_clock
from mnedge.model.manifest import Agent, JobSpec
from mnedge.model.states import AgentKind
from mnedge.part import running
from mnedge.runtime.submission import submit_spec
from mnedge.store.sqlite import SqliteStore
from tests.live.box import Box, until
from tests.live.service_manager import Manager

pytestmark = pytest.mark.live
JOBS = 100
SLOTS = 20
KILLS = 3
ADOPTED_WITHIN_S = 2.0
START_S = 0.4
"""What a daemon with nothing to do takes to answer on a machine that does nothing else."""


@pytest.fixture
def box(tmp_path):
    box = Box(tmp_path)
    box.environ["MN_EXECUTOR_MAX_CONCURRENCY"] = str(SLOTS)
    yield box
    box.close()


def submit_all(box, command):
    async def submit():
        config = read_config(box.environ)
        worker = Agent(
            agent_id="worker",
            kind=AgentKind.EXECUTOR,
            config={
                "runner_module": "MirrorNeuron.Runner.HostLocal",
                "command": ["sh", "-c", command],
            },
        )
        spec = JobSpec(
            blueprint_id="load",
            graph_id="load",
            job_name="load",
            agents=[worker],
            edges=[],
            entrypoints=["worker"],
            seeds={"worker": [{}]},
        )
        async with running(SqliteStore(config.data_dir)) as store:
            for number in range(JOBS):
                await submit_spec(store, config, spec, job_id=f"load-{number}", now=wall_clock)

    trio.run(submit)


def counted(daemon, name):
    """Return a figure of the node; 0 while it does not answer."""
    match = re.search(rf"^{name} ([0-9.]+)$", daemon.get("/metrics"), re.MULTILINE)
    return float(match[1]) if match else 0.0


def test_a_hundred_jobs_are_adopted_within_two_seconds(box):
    launched = box.folder / "launched"
    submit_all(box, f"echo $MNEDGE_LAUNCH >> {launched}; exec sleep 600")
    daemon = Manager(box)
    took = []
    try:
        until(lambda now=daemon: counted(now, "mnedge_submissions_total") >= JOBS)
        for kills in range(1, KILLS + 1):
            until(lambda n=kills: lines(launched) >= n * SLOTS)
            slowness = max(1.0, idle_start_s(box) / START_S)
            daemon.close()
            began = time.monotonic()
            daemon = Manager(box)
            until(lambda now=daemon: counted(now, "mnedge_jobs_recovered_total") >= JOBS)
            took.append((time.monotonic() - began) / slowness)
        until(lambda: lines(launched) >= (KILLS + 1) * SLOTS)
        launches = Counter(launched.read_text().split())
        assert set(launches.values()) == {1}, "nothing is launched twice under one number"
        assert by_number(launches) == dict.fromkeys(range(1, KILLS + 2), SLOTS)
        assert running_launches() == {KILLS + 1: SLOTS}, "what was lost is gone"
        assert min(took) < ADOPTED_WITHIN_S, took
    finally:
        daemon.close()  # a killed daemon takes its workers along


def idle_start_s(box):
    """Return how long a daemon with nothing to do takes to answer, on this machine just now."""
    elsewhere = Box(box.folder / "idle")
    elsewhere.folder.mkdir(exist_ok=True)
    began = time.monotonic()
    daemon = Manager(elsewhere)
    try:
        until(lambda: daemon.get("/api/v1/health"))
        return time.monotonic() - began
    finally:
        daemon.close()


def lines(path):
    return path.read_text().count("\n") if path.exists() else 0


def by_number(launches):
    return Counter(int(token.rpartition("/")[2]) for token in launches)


def running_launches():
    found = Counter()
    for process in psutil.process_iter(["name"]):
        try:
            token = process.environ().get("MNEDGE_LAUNCH", "")
        except (psutil.Error, OSError):
            continue
        if token.startswith("load-") and process.name() == "sleep":
            found[int(token.rpartition("/")[2])] += 1
    return dict(found)
