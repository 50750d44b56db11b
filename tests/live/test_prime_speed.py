"""A hundred worker processes, never more at once than there are slots."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.live.crash import Trial
from tests.live.forge import Forge
from tests.live.leases import peak_slots

pytestmark = pytest.mark.live

WORKERS = 100


def completed(folder: Path, slots: int) -> Trial:
    """Return a complete run with that many slots, each launch on record."""
    trial = Trial(Forge(), folder, "prime_range_scan")
    trial.environ["MN_EXECUTOR_MAX_CONCURRENCY"] = str(slots)
    try:
        assert trial.run() == 0, trial.words()
    finally:
        trial.forge.close()
    return trial


@pytest.mark.parametrize("slots", [3, 8])
def test_a_hundred_workers_share_the_slots(slots: int, tmp_path: Path) -> None:
    run = completed(tmp_path, slots)
    events = run.events()
    peak = peak_slots(events)
    assert peak == slots, "more attempts at once than slots, or slots that nobody used"

    ended = [event for event in events if event["type"] == "sandbox_job_completed"]
    workers = {event["agent_id"] for event in ended} - {"summary"}
    assert len(workers) == WORKERS
    assert len(ended) == WORKERS + 1  # nobody worked twice
    leases = {event["payload"]["lease_id"] for event in ended}
    assert len(leases) == len(ended)

    launches = run.launch_log.read_text().split()
    assert len(launches) == len(set(launches)) == WORKERS + 1
    [job_id] = run.jobs()
    folder = run.runs_root / job_id
    artifact = json.loads((folder / "final_artifact.json").read_text())
    assert artifact["evidence"]["workers"] == WORKERS
    assert not run.left_behind()
    assert os.listdir(run.data_dir / "work") == []


def test_the_peak_is_counted_from_leases() -> None:
    def event(kind: str, lease: str, slots: int = 1) -> dict[str, Any]:
        return {
            "type": f"executor_lease_{kind}",
            "payload": {"lease_id": lease, "slots": slots},
        }

    story = [
        event("acquired", "a"),
        event("acquired", "b", 2),
        event("released", "a"),
        event("acquired", "c"),
        event("released", "b"),
        event("released", "c"),
    ]
    assert peak_slots(story) == 3
    with pytest.raises(ValueError, match="never released"):
        peak_slots(story[:-1])
