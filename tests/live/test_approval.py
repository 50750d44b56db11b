"""A person decides about `setting_rollout`: by a line, by the command, or by saying nothing."""

import os
import signal
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from mnedge.faults import FAULT_POINTS
from tests.conftest import SOAK
from tests.live.approval import Rollout
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
