"""The whole API probed by schemathesis, from its own description, before a real daemon.

Nothing that is sent may lead to a 5xx, or to an answer that the description does not promise. The
stream of all events is left out: it never ends, and is read in `test_streams.py`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.box import ROOT, Box, until

pytestmark = pytest.mark.live

SHARE_S, SOAK_S = 60, 600
SETTINGS = "relay:\n  rateLimit: {requestsPerSecond: 1000000, burst: 1000000}\n"
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.close()


@pytest.fixture
def address(box: Box) -> str:
    """Start a daemon without a limit of rates; return where it listens."""
    (box.folder / "mnedge.yaml").write_text(SETTINGS)
    data_dir = box.folder / "data"
    box.environ["MNEDGE_DATA_DIR"] = str(data_dir)
    box.start("daemon", "--config", str(box.folder / "mnedge.yaml"), "--http", "127.0.0.1:0")
    endpoints = data_dir / "endpoints.json"
    until(endpoints.exists)
    return str(json.loads(endpoints.read_text())["http"])


def asking(box: Box) -> httpx.Client:
    """Return a client by the unix socket: the daemon's own user."""
    transport = httpx.HTTPTransport(uds=str(box.folder / "data" / "mnedge.sock"))
    return httpx.Client(transport=transport, base_url="http://node/api/v1", timeout=60)


def things(api: httpx.Client) -> dict[str, list[str]]:
    """Have some of everything there is; return how it is called."""
    ids = [f"job{number}" for number in range(3)]
    for job_id in ids:
        sent = {"blueprint": "message_routing_trace", "run_id": job_id}
        assert api.post("/jobs", json=sent).status_code == 201
    for job_id in ids:
        until(lambda job=job_id: api.get(f"/jobs/{job}").json()["job"]["status"] == "completed")
    return {
        "job_id": [*ids, "last"],
        "run_id": ids,
        "blueprint_id": ["message_routing_trace", "tide_table"],
        "path": ["result.json", "events.jsonl"],
        "topic": ["cli", "rules"],
        "operation": ["cancel_all_jobs", "reconcile_node"],
    }


def test_nothing_that_is_sent_breaks_the_api_or_its_promises(
    box: Box, address: str, soak: bool
) -> None:
    with asking(box) as api:
        token = api.post("/tokens", json={"name": "prober", "scope": "admin"}).json()["token"]
        known = things(api)
        seconds = SOAK_S if soak else SHARE_S
        done = subprocess.run(
            [
                str(SCHEMATHESIS),
                "run",
                f"{address}/api/v1/openapi.json",
                "--header",
                f"Authorization: Bearer {token}",
                "--phases",
                "examples,coverage,fuzzing",
                "--max-time",
                str(seconds),
                "--max-examples",
                "500" if soak else "25",
                "--workers",
                "1",  # CPython 3.11 loses count when two threads parse Python at once
                "--exclude-path",
                "/api/v1/events",
                "--request-timeout",
                "60",
                "--checks",
                "all",
                "--exclude-checks",
                "positive_data_acceptance",  # what a bundle must be is more than a schema can say
                "--no-shrink",
                "--no-color",
                *(() if soak else ("--seed", "1")),
            ],
            capture_output=True,
            text=True,
            timeout=seconds * 2 + 60,
            cwd=box.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.live.api_hooks",
                "MNEDGE_TEST_KNOWN": json.dumps(known),
            },
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
        health = api.get("/health").json()
        assert health["status"] == "ok"
