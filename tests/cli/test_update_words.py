"""Every end of an update is told in one sentence, and what is wrong stands in it."""

from pathlib import Path
from typing import get_args

import pytest

from mnedge.cli.update_words import (
    PHASES,
    STANDINGS,
    offer_told,
    outcome_told,
    phase_told,
    steps_of_file,
    steps_of_node,
)
from mnedge.config.layout import Layout
from mnedge.config.settings import Updates
from mnedge.updates.envelope import Release
from mnedge.updates.offer import Standing
from mnedge.updates.prepare import Offer
from mnedge.updates.trial import Outcome, Party, Phase, Trial

RELEASE = Release(
    name="mnedge",
    version="2.0",
    flavour="lean",
    platform="linux-x86_64",
    file="mnedge",
    size=24 << 20,
    sha256="a" * 64,
    schema=1,
    engine_revision=1,
)


def offer(standing):
    return Offer(where="/srv/mnedge", release=RELEASE, standing=standing, statement=b"")


def outcome(**told):
    members = {
        "token": "t",
        "from_version": "1.0",
        "to_version": "2.0",
        "from_release": "1.0-a",
        "to_release": "2.0-b",
        "well": True,
    }
    return Outcome(**{**members, **told})


def test_every_standing_and_every_phase_has_its_words():
    assert set(STANDINGS) == set(get_args(Standing))
    assert set(PHASES) == set(get_args(Phase))
    for standing in STANDINGS:
        assert "mnedge 2.0 " in offer_told(offer(standing))
    old, new = (
        Party(release=f"{version}-a", version=version, schema=1, engine_revision=1)
        for version in ("1.0", "2.0")
    )
    for phase in get_args(Phase):
        trial = Trial(
            token="t",
            phase=phase,
            old=old,
            new=new,
            data_dir="/d",
            socket="/s",
            runs=True,
            boot_id="b",
            why="it hangs",
        )
        assert "{" not in phase_told(trial)


@pytest.mark.parametrize(
    "told, said",
    [
        ({"result": "confirmed"}, "mnedge 2.0 runs; before: 1.0"),
        ({"result": "confirmed", "well": False, "unwell": "it hangs"}, "NOT WELL NOW: it hangs"),
        ({"result": "confirmed", "runs": False}, "2.0 is in its place, the node stopped as it was"),
        ({"result": "rolled_back", "why": "w", "runs": False}, "1.0 is back, the node stopped"),
        ({"result": "abandoned", "why": "power"}, "mnedge 1.0 stays: power"),
        ({"result": "rolled_back", "why": "it hangs"}, "not taken: it hangs; 1.0 runs again"),
        ({"result": "rolled_back", "well": False, "unwell": "so do I"}, "EITHER: so do I"),
    ],
)
def test_every_end_is_told(told, said):
    assert said in outcome_told(outcome(**told))


def test_steps_name_what_they_touch():
    node = steps_of_node(offer("newer"), Layout(), Updates())
    assert "24 MiB" in node[0]
    assert "/opt/mnedge/releases/2.0-aaaaaaaaaaaa" in node[0]
    assert "at most 60 s" in node[4]
    file = steps_of_file(offer("newer"), Path("/srv/mnedge"))
    assert "keep /srv/mnedge as mnedge.old" in file[-1]
