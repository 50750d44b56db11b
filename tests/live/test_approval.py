"""A person decides about `setting_rollout`: by a line, by the command, or by saying nothing."""

import json
import os
import signal
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from mnedge.faults import FAULT_POINTS
from tests.conftest import SOAK
from tests.live.crash import Trial
from tests.live.forge import Forge
from tests.live.ledgers import promises

pytestmark = pytest.mark.live

KILLED = -9
FULL = tuple(product(FAULT_POINTS, (1, 2, 3, 4, 5, 7, 9, 12)))
SHARE = (
    ("journal.append.after", 3),
    ("publish.during", 3),
    ("coordinator.commands.before", 4),
    ("spawn.after", 2),
)
PATIENT = ["--set", "human_control.timeout_seconds=60"]
REJECTED, APPROVED = (promise.ledger for promise in promises("setting_rollout"))


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    forge = Forge()
    yield forge
    forge.close()


class Rollout(Trial):
    """A rollout and the person who is asked about it."""

    def begin_and_wait(self) -> int:
        """Start the run; return its pid once somebody is asked."""
        pid = self.begin()
        self.until(lambda: bool(self.people("human_input_requested")), pid)
        return pid

    def people(self, kind: str) -> list[dict[str, Any]]:
        """Return the records of this type in `human.jsonl`."""
        records = []
        for path in self.runs_root.glob("*/human.jsonl"):
            records += [json.loads(line) for line in path.read_text().splitlines()]
        return [record for record in records if record["type"] == kind]

    def answer(self, decision: str) -> None:
        """Append the answer as a person or tool would."""
        [asked] = self.people("human_input_requested")
        payload = {"request_id": asked["payload"]["request_id"], "decision": decision, "by": "ada"}
        line = json.dumps({"type": "human_input_received", "payload": payload}) + "\n"
        [job_id] = self.jobs()
        file = os.open(self.runs_root / job_id / "human.jsonl", os.O_WRONLY | os.O_APPEND)
        os.write(file, line.encode())
        os.close(file)

    def say(self, *arguments: str) -> None:
        """Answer by the command line, from another process."""
        assert self.forge.wait(self.start(["job", *arguments])) == 0, self.words()

    def go_on(self) -> int:
        """Start what finishes a killed run, or begins it if it was never submitted."""
        return self.start(["job", "recover", "--all", "--quiet"]) if self.jobs() else self.begin()

    def answered(self, pid: int) -> int:
        """Approve as soon as somebody is asked and nobody answered; return the exit code."""
        self.until(lambda: bool(self.people("human_input_requested")) or not self.alive(pid), pid)
        if self.people("human_input_requested") and not self.people("human_input_received"):
            self.answer("approve")
        return self.ended(pid)

    def decision(self) -> tuple[str, str]:
        """Return what was decided, and by what."""
        [applied] = self.people("human_decision_applied")
        return applied["payload"]["decision"], applied["payload"]["source"]


@pytest.fixture
def rollout(forge: Forge, tmp_path: Path) -> Rollout:
    return Rollout(forge, tmp_path, "setting_rollout", settings=PATIENT)


def test_a_line_in_the_file_approves(rollout: Rollout) -> None:
    pid = rollout.begin_and_wait()
    rollout.answer("approve")
    assert rollout.ended(pid) == 0, rollout.words()
    assert rollout.ledger() == APPROVED
    assert rollout.decision() == ("approve", "human")


def test_the_command_approves(rollout: Rollout) -> None:
    pid = rollout.begin_and_wait()
    rollout.say("approve", "last", "--comment", "looks good")
    assert rollout.ended(pid) == 0, rollout.words()
    assert rollout.ledger() == APPROVED
    assert rollout.decision() == ("approve", "human")


def test_the_command_rejects(rollout: Rollout) -> None:
    pid = rollout.begin_and_wait()
    rollout.say("reject", "last")
    assert rollout.ended(pid) == 0, rollout.words()
    assert rollout.ledger() == REJECTED
    assert rollout.decision() == ("reject", "human")


def test_silence_is_decided_by_the_clock(forge: Forge, tmp_path: Path) -> None:
    rollout = Rollout(forge, tmp_path, "setting_rollout")
    assert rollout.run() == 0, rollout.words()
    assert rollout.ledger() == REJECTED
    assert len(rollout.people("human_input_timeout")) == 1
    assert rollout.decision() == ("reject", "timeout")


def test_a_decision_that_is_not_allowed_changes_nothing(rollout: Rollout) -> None:
    pid = rollout.begin_and_wait()
    rollout.answer("perhaps")
    rollout.until(
        lambda: any(event["type"] == "human_input_rejected" for event in rollout.events()), pid
    )
    rollout.answer("approve")
    assert rollout.ended(pid) == 0, rollout.words()
    assert rollout.ledger() == APPROVED


@pytest.mark.parametrize("way", ["line", "command"])
def test_an_answer_given_while_nobody_ran_counts(way: str, rollout: Rollout) -> None:
    pid = rollout.begin_and_wait()
    os.kill(pid, signal.SIGKILL)
    assert rollout.ended(pid) == KILLED
    if way == "line":
        rollout.answer("approve")
    else:
        rollout.say("approve", "last")
    assert rollout.recover() == 0, rollout.words()
    assert rollout.ledger() == APPROVED
    assert len(rollout.people("human_input_requested")) == 1  # asked once, however often it runs


def test_who_answered_in_time_is_not_overruled_by_the_clock(forge: Forge, tmp_path: Path) -> None:
    """The time runs out while nothing runs, after the answer was written."""
    soon = ["--set", "human_control.timeout_seconds=2"]
    rollout = Rollout(forge, tmp_path, "setting_rollout", settings=soon)
    pid = rollout.begin_and_wait()
    asked_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert rollout.ended(pid) == KILLED
    rollout.answer("approve")
    rollout.until(lambda: time.monotonic() > asked_at + 2.2, pid)
    assert rollout.recover() == 0, rollout.words()
    assert rollout.ledger() == APPROVED
    assert rollout.decision() == ("approve", "human")


@pytest.mark.parametrize("point, ordinal", FULL if SOAK else SHARE)
def test_an_approval_holds_wherever_the_run_is_killed(
    point: str, ordinal: int, rollout: Rollout
) -> None:
    code = rollout.answered(rollout.begin(f"{point}:{ordinal}:kill"))
    if code == KILLED:
        code = rollout.answered(rollout.go_on())
    assert code == 0, rollout.words()
    assert rollout.ledger() == APPROVED
    assert rollout.decision() == ("approve", "human")
    rollout.check_events()
    rollout.check_launches()
    assert not rollout.left_behind()
