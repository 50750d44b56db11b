"""What the disk knows of an update."""

import msgspec
import pytest

from mnedge.config.layout import Layout
from mnedge.updates.trial import (
    ASKED_BACK,
    Outcome,
    Party,
    Trial,
    TrialUnreadableError,
    end_trial,
    last_outcome,
    read_trial,
    tell_outcome,
    write_trial,
)

OLD = Party(release="1.0-a", version="1.0", schema=1, engine_revision=1)
TRIAL = Trial(
    token="t",
    old=OLD,
    new=msgspec.structs.replace(OLD, release="1.1-b", version="1.1", key="k"),
    data_dir="/d",
    socket="/s",
    runs=True,
    boot_id="b",
)
OUTCOME = Outcome(
    token="t",
    result="confirmed",
    from_version="1.0",
    to_version="1.1",
    from_release="1.0-a",
    to_release="1.1-b",
    well=True,
)


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path)
    layout.home.mkdir(parents=True)
    return layout


def test_a_trial_is_read_back_until_it_ended(layout):
    assert read_trial(layout) is None
    assert last_outcome(layout) is None
    write_trial(layout, TRIAL)
    (layout.home / ASKED_BACK).touch()
    assert read_trial(layout) == TRIAL
    tell_outcome(layout, OUTCOME)
    end_trial(layout)
    assert read_trial(layout) is None
    assert last_outcome(layout) == OUTCOME
    assert [path.name for path in layout.home.iterdir()] == ["last-update.json"]


def test_what_an_other_version_added_is_passed_over(layout):
    write_trial(layout, TRIAL)
    told = msgspec.json.decode(layout.trial.read_bytes())
    layout.trial.write_bytes(msgspec.json.encode(told | {"later": 1}))
    assert read_trial(layout) == TRIAL


@pytest.mark.parametrize("content", [b"", b"{}", b"\0\0"])
def test_what_cannot_be_read_is_named(layout, content):
    layout.trial.write_bytes(content)
    with pytest.raises(TrialUnreadableError, match=r"trial\.json cannot be read"):
        read_trial(layout)


def test_only_a_release_that_runs_well_is_a_good_end():
    changed = msgspec.structs.replace
    assert OUTCOME.good
    assert not changed(OUTCOME, well=False).good
    assert not changed(OUTCOME, result="rolled_back").good
