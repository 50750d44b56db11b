"""All of an update that changes nothing for the node that runs."""

from pathlib import Path

import msgspec
import pytest

from mnedge.updates.envelope import SUFFIX, NotSignedError, new_key
from mnedge.updates.machine import ProgramBadError
from mnedge.updates.offer import Build, DowngradeError, NoRoomError
from mnedge.updates.prepare import UnderWayError, locked, offered
from mnedge.updates.releases import STATEMENT, led_to
from mnedge.updates.source import ContentWrongError, SourceAbsentError
from mnedge.updates.trial import read_trial
from tests.updates.fake_root import KEYS


def unchanged(root):
    assert root.releases == [root.old]
    assert led_to(root.layout.current) == root.old
    assert led_to(root.layout.previous) == ""
    assert read_trial(root.layout) is None


def test_a_release_is_placed_beside_the_old_one_and_nothing_is_switched(root):
    trial = root.begin(root.file(version="1.1.0"))
    assert (trial.phase, trial.runs, trial.before) == ("ready", True, "")
    assert (trial.old.version, trial.new.version) == ("1.0.0", "1.1.0")
    assert read_trial(root.layout) == trial
    assert led_to(root.layout.current) == root.old
    assert root.runs == "1.0.0"
    place = root.layout.releases / trial.new.release
    assert sorted(path.name for path in place.iterdir()) == ["mnedge", STATEMENT]


def test_a_release_that_is_there_already_is_not_fetched_again(root):
    where = root.file(version="1.1.0")
    root.begin(where)
    root.layout.trial.unlink()
    Path(where).unlink()
    assert root.begin(where).new.version == "1.1.0"


@pytest.mark.parametrize("pem", [None, new_key()[0]])
def test_what_nobody_pinned_has_signed_is_not_even_read(root, pem):
    where = root.file(pem, version="1.1.0")
    Path(where).unlink()
    with pytest.raises((NotSignedError, SourceAbsentError)):
        root.begin(where)
    unchanged(root)


def test_a_file_that_was_changed_after_it_was_signed_is_refused(root):
    where = Path(root.file(version="1.1.0"))
    where.write_text(where.read_text().replace("1.1.0", "1.1.1"))
    with pytest.raises(ContentWrongError, match="another checksum"):
        root.begin(str(where))
    where.write_text(where.read_text() + " ")
    with pytest.raises(ContentWrongError, match="bytes and not"):
        root.begin(str(where))
    unchanged(root)


def test_a_statement_of_another_release_does_not_fit(root):
    where, other = root.file(version="1.1.0"), root.file(version="1.2.0")
    Path(where + SUFFIX).write_bytes(Path(other + SUFFIX).read_bytes())
    with pytest.raises(ContentWrongError):
        root.begin(where)


def test_an_older_one_is_refused_before_it_is_read(root):
    where = root.file(version="0.9.0")
    Path(where).unlink()
    with pytest.raises(DowngradeError):
        root.begin(where)
    unchanged(root)


def test_one_whose_self_test_fails_leaves_nothing_behind(root):
    with pytest.raises(ProgramBadError, match="self-test failed"):
        root.begin(root.file(version="1.1.0", selftest="fails"))
    unchanged(root)


@pytest.mark.parametrize(
    "lie, said", [({"version": "1.1.1"}, "it says that it is 1.1.1"), ({"schema": 7}, "schema=7")]
)
def test_one_that_is_not_what_was_signed_is_refused(root, monkeypatch, lie, said):
    machine = root.machine
    real = machine.text
    machine.text = lambda program: real(program) | (lie if root.old not in str(program) else {})
    with pytest.raises(ProgramBadError, match=said):
        root.begin(root.file(version="1.1.0"))
    unchanged(root)


def test_a_disk_without_room_is_refused_before_anything_is_written(root, monkeypatch):
    monkeypatch.setattr("mnedge.updates.prepare.free_bytes", lambda folder: 1 << 20)
    with pytest.raises(NoRoomError):
        root.begin(root.file(version="1.1.0"))
    unchanged(root)


def test_two_updates_at_once_are_refused(tmp_path):
    with locked(tmp_path), pytest.raises(UnderWayError), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_an_offer_of_the_same_says_so(root):
    where = root.file(version="1.0.0")
    have = Build(
        version="1.0.0", flavour="lean", platform="linux-x86_64", schema=1, engine_revision=1
    )
    told = offered(
        where,
        KEYS,
        have,
        msgspec.json.decode(Path(where + SUFFIX).read_bytes()) and root.old,
        allow_downgrade=False,
        machine=root.machine,
    )
    assert told.standing == "rebuilt"
    same = offered(
        where, KEYS, have, told.release.sha256, allow_downgrade=False, machine=root.machine
    )
    assert same.standing == "same"
    assert same.id == root.old
