"""Every pattern blueprint ends with the ledger of its SPEC: unharmed, and killed at every place.

`make test` kills at every place, each blueprint in its turn; `make soak` each blueprint at every
place and many ordinals.
"""

from collections.abc import Iterator
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest

from mnedge.faults import FAULT_POINTS
from tests.conftest import SOAK
from tests.live.crash import Trial
from tests.live.forge import Forge
from tests.live.ledgers import PATTERNS, Promise, in_short, promises

pytestmark = pytest.mark.live

KILLED = -9
PROMISED = [
    pytest.param(name, promise, id=f"{name}-{number}")
    for name in PATTERNS
    for number, promise in enumerate(promises(name))
    if promise.settings or not number  # without a setting, it takes a person
]
FULL = (1, 2, 3, 4, 5, 6, 8, 11, 15)
RARE = {
    place for place in FAULT_POINTS if place.startswith(("journal.s", "journal.c", "blob", "fin"))
}
"""Places that a small job comes to once or twice."""


def share() -> list[tuple[str, str, int]]:
    """Return each place with one blueprint and one ordinal; each blueprint has its turn."""
    return [
        (PATTERNS[turn % len(PATTERNS)], place, 1 if place in RARE else 1 + turn % 3)
        for turn, place in enumerate(FAULT_POINTS)
    ]


CASES = list(product(PATTERNS, FAULT_POINTS, FULL)) if SOAK else share()
TWICE = (
    list(product(PATTERNS, FAULT_POINTS))
    if SOAK
    else [("meter_readout", "journal.append.after"), ("field_survey", "publish.during")]
)
numbers = count()


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    forge = Forge()
    yield forge
    forge.close()


@pytest.fixture(scope="module")
def unharmed(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """Runs that nobody harmed, made when they are first asked for."""

    class Runs(dict[str, Trial]):
        def __missing__(self, name: str) -> Trial:
            trial = self[name] = Trial(forge, tmp_path_factory.mktemp(name), name)
            assert trial.run() == trial.ends_with, trial.words()
            return trial

    return Runs()


def at_work(shown: dict[str, Any]) -> set[str]:
    """Return the executors whose steps were attempted."""
    executors = {agent["agent_id"] for agent in shown["agents"] if agent["kind"] == "executor"}
    steps = shown["workflow_state"]["steps"].values()
    return executors & {
        agent for step in steps if step["attempt_count"] for agent in step["agent_ids"]
    }


@pytest.mark.parametrize("name, promise", PROMISED)
def test_a_run_ends_with_the_ledger_of_its_specification(
    name: str, promise: Promise, forge: Forge, unharmed: dict[str, Trial], tmp_path: Path
) -> None:
    if promise.settings:
        trial = Trial(forge, tmp_path, name, settings=promise.settings)
        completed = promise.ledger["job"] == "completed"
        assert trial.run() == (0 if completed else 1), trial.words()
    else:
        trial = unharmed[name]
    shown = trial.shown()
    assert in_short(shown["workflow_state"], shown["job"]["status"]) == promise.ledger
    assert trial.ledger() == promise.ledger
    assert trial.launched() == at_work(shown)
    assert not trial.left_behind()


@pytest.mark.parametrize("name, point, ordinal", CASES)
def test_a_killed_run_ends_with_the_same_ledger(
    name: str, point: str, ordinal: int, forge: Forge, unharmed: dict[str, Trial], tmp_path: Path
) -> None:
    trial = Trial(forge, tmp_path, name)
    code = trial.run(fault=f"{point}:{ordinal}:kill")
    if not trial.jobs() and not trial.unfinished():
        assert code == KILLED  # nothing was submitted yet, so nothing may be left to recover
        assert trial.run() == trial.ends_with, trial.words()
    elif code != KILLED:
        assert code == trial.ends_with, trial.words()  # the run never came so far
    elif next(numbers) % 2:
        trial.serve()
    else:
        assert trial.recover() == trial.ends_with, trial.words()
    assert trial.ledger() == promises(name)[0].ledger
    trial.check(unharmed[name])


@pytest.mark.parametrize("name, point", TWICE)
def test_a_run_whose_recovery_is_killed_too_ends_with_the_same_ledger(
    name: str, point: str, forge: Forge, unharmed: dict[str, Trial], tmp_path: Path
) -> None:
    trial = Trial(forge, tmp_path, name)
    assert trial.run(fault="coordinator.commands.before:4:kill") == KILLED
    code = trial.recover(fault=f"{point}:2:kill")
    if code == KILLED:
        code = trial.recover()
    assert code == trial.ends_with, trial.words()
    assert trial.ledger() == promises(name)[0].ledger
    trial.check(unharmed[name])


def test_a_promise_is_read_with_its_settings() -> None:
    plain, spoiled = promises("meter_readout")
    assert (plain.settings, plain.ledger["job"]) == ([], "completed")
    assert (spoiled.settings, spoiled.ledger["job"]) == (
        ["--set", "inputs.payload.spoiled=4"],
        "failed",
    )
