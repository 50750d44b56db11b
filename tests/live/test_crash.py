"""Kills at every named place, recovered by `job recover` and by the daemon.

`make test` runs a fixed share; `make soak` every place at many ordinals. A case whose ordinal the
run never reaches must simply end well.
"""

from collections.abc import Iterator
from itertools import count, product
from pathlib import Path

import pytest

from mnedge.faults import FAULT_POINTS
from tests.conftest import SOAK
from tests.live.crash import SERVICES, Trial
from tests.live.forge import Forge

pytestmark = pytest.mark.live

BLUEPRINTS = (
    "message_routing_trace",
    "text_report_pipeline",
    "closed_loop_lab",
    "live_telemetry",
    "prime_range_scan",
)
KILLED = -9
SHARE = {
    "message_routing_trace": (1, 2, 3),
    "text_report_pipeline": (1, 3),
    "closed_loop_lab": (2, 7),
    "live_telemetry": (1, 5),
    "prime_range_scan": (20,),
}
SOME_PLACES = {
    "prime_range_scan": {
        "journal.append.during",
        "journal.snapshot.after",
        "spawn.after",
        "attempt.answered",
        "publish.during",
        "coordinator.commands.before",
        "finish.before",
    }
}
"""A run of a hundred workers takes seconds; `make test` kills it where many of them are at work."""
FULL = {name: (*range(1, 9), 13, 21, 34, 55) for name in BLUEPRINTS}
CASES = [
    (blueprint, point, ordinal)
    for blueprint in BLUEPRINTS
    for point, ordinal in product(FAULT_POINTS, (FULL if SOAK else SHARE)[blueprint])
    if SOAK or point in SOME_PLACES.get(blueprint, FAULT_POINTS)
]
numbers = count()


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    forge = Forge()
    yield forge
    forge.close()


@pytest.fixture(scope="module")
def unharmed(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    trials = {}
    for blueprint in BLUEPRINTS:
        trial = Trial(forge, tmp_path_factory.mktemp(blueprint), blueprint)
        code = trial.run()
        assert code == trial.ends_with, trial.words()
        trials[blueprint] = trial
    return trials


@pytest.mark.parametrize("blueprint, point, ordinal", CASES)
def test_a_killed_run_ends_as_if_nothing_had_happened(
    blueprint: str,
    point: str,
    ordinal: int,
    forge: Forge,
    unharmed: dict[str, Trial],
    tmp_path: Path,
) -> None:
    trial = Trial(forge, tmp_path, blueprint)
    code = trial.run(fault=f"{point}:{ordinal}:kill")
    if not trial.jobs() and not trial.unfinished():
        assert code == KILLED  # nothing was submitted yet, so nothing may be left to recover
        assert trial.run() == trial.ends_with, trial.words()
    elif code != KILLED:
        assert code == trial.ends_with, trial.words()  # the run never came so far
    elif blueprint in SERVICES and not trial.unfinished():
        pass  # the cancel met the dead owner's job and ended it by itself
    elif next(numbers) % 2:
        trial.serve()
    else:
        assert trial.recover() == trial.ends_with, trial.words()
    trial.check(unharmed[blueprint])


@pytest.mark.parametrize("blueprint", ["text_report_pipeline", "closed_loop_lab"])
def test_the_same_checks_fail_when_acting_before_the_journal(
    blueprint: str, forge: Forge, unharmed: dict[str, Trial], tmp_path: Path
) -> None:
    """Proof that these tests guard the promise: with journal-first off, they catch it."""
    caught = 0
    for ordinal in (2, 3, 4):
        folder = tmp_path / str(ordinal)
        folder.mkdir()
        trial = Trial(forge, folder, blueprint)
        trial.run(fault=f"journal.append.before:{ordinal}:kill", unsafe="journal_first_off")
        trial.recover()
        try:
            trial.check(unharmed[blueprint])
        except AssertionError:
            caught += 1
    assert caught > 0


def test_every_place_is_reached_by_some_blueprint(
    forge: Forge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A fault point that no run reaches would make its cases prove nothing."""
    reached = set()
    for blueprint in ("text_report_pipeline", "closed_loop_lab"):
        for point in set(FAULT_POINTS) - reached:
            trial = Trial(forge, tmp_path_factory.mktemp("place"), blueprint)
            if trial.run(fault=f"{point}:1:kill") == KILLED:
                reached.add(point)
    assert reached == set(FAULT_POINTS)
