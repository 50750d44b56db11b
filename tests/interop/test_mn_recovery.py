"""The daemon is killed under a client that watches a run; both find each other again."""

import json
import re

import psutil
import pytest

from mnedge.model.states import JobStatus
from tests.interop.mn_client import Client, until
from tests.interop.mn_node import Node
from tests.interop.test_mn_client import a_service

pytestmark = pytest.mark.live


def runs(pid: int) -> bool:
    """Tell whether the process does anything; where nobody buries it, it stays as a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_client_that_watches_a_run_recovers_when_the_daemon_does(tmp_path):
    """`mn` itself detaches when a poll fails; the relay that it leaves behind asks on."""
    node = Node(tmp_path / "node")
    node.start()
    try:
        mn = Client(tmp_path / "client", node.home)
        mn.environ |= {"MN_GRPC_TARGET": node.grpc, "MN_API_BASE_URL": node.api}
        folder = a_service(tmp_path / "outlives", "3")
        watching = mn.start(
            *("blueprint", "run", "--folder", str(folder), "--follow-seconds", "60"),
            MN_RUN_BACKGROUND_EVENT_RELAY="1",
        )
        try:
            (record,) = until(lambda: [one for one in node.jobs() if one.started_at is not None])
            assert record.status is JobStatus.RUNNING
            node.kill()
            node.start(grpc=node.grpc, http=node.endpoints["http"].partition("//")[2])
            told, _ = watching.communicate(timeout=60)
        finally:
            watching.kill()
            watching.communicate()
        assert watching.returncode == 0, told
        assert re.search(r"Run detached|Status: +Completed", told), told

        run = node.config.runs_root / record.job_id
        relay = json.loads((run / "event_relay.json").read_text())
        until(lambda: not runs(relay["pid"]))
        snapshot = json.loads((run / "job_snapshot.json").read_text())
        assert snapshot["job"]["status"] == "completed"
        record = node.job(record.job_id)
        assert record.status is JobStatus.COMPLETED
        assert mn.json("job", "status", record.job_id)["job"]["status"] == "completed"
        events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
        numbers = [event["seq"] for event in events if "seq" in event]
        assert numbers == list(range(1, len(numbers) + 1))
    finally:
        node.stop()
