"""The depot is one state for whoever reads it, and one hand at a time changes it."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.plugins import depot as depots
from mnedge.plugins.depot import (
    Depot,
    DepotBusyError,
    DepotDamagedError,
    PluginUnknownError,
    Point,
    Quarantine,
    Record,
    altered,
    hold,
    normal,
    seen,
)

ROOT = Path(__file__).resolve().parents[2]


def record(name="acme", version="1.0", **more):
    kept = {
        "folder": f"{name}-{version}-00000000",
        "digest": "00",
        "files": {"a.py": "00"},
        "size_bytes": 1,
        "source": "test",
        "installed_at": 1.0,
        "installed_by": "somebody",
        "entry_points": (Point("acme", "acme"),),
    }
    return Record(name=name, version=version, **{**kept, **more})


@pytest.fixture
def depot(tmp_path):
    return Depot(tmp_path / "plugins")


def put(depot, *records):
    with depot.changing() as kept:
        for one in records:
            kept[one.name] = one
            depot.place(one).mkdir(exist_ok=True)


def test_a_link_that_a_worker_laid_is_not_followed(depot, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    victim.chmod(0o600)
    depot.folder.mkdir()
    (depot.folder / f".{depots.FILE}-{os.getpid()}").symlink_to(victim)
    put(depot, record())
    assert victim.read_text() == "kept"
    assert victim.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in depot.records()] == ["acme"]


def test_nothing_is_made_by_looking(depot):
    assert depot.records() == ()
    assert not depot.folder.exists()


def test_what_is_written_is_read_again(depot):
    quarantine = Quarantine(reason="bad", stage="hook", at=2.0, program="1")
    one, other = record(quarantine=quarantine, strikes=1), record("b", allowed=True)
    put(depot, other, one)
    assert Depot(depot.folder).records() == (one, other)
    assert depot.find("ACME") == one


def test_a_plugin_that_is_not_there_is_named_with_those_that_are(depot):
    put(depot, record())
    with pytest.raises(PluginUnknownError) as told:
        depot.find("other")
    assert "acme" in told.value.hint


def test_a_block_that_fails_changes_nothing(depot):
    put(depot, record())
    before = (depot.folder / "depot.json").read_bytes()
    with suppress(RuntimeError), depot.changing() as kept:
        kept.clear()
        raise RuntimeError
    assert (depot.folder / "depot.json").read_bytes() == before


def test_the_last_one_to_go_leaves_no_trace(depot):
    put(depot, record())
    with depot.changing() as kept:
        kept.clear()
    assert not depot.folder.exists()


def test_folders_that_nobody_knows_are_swept_unless_somebody_uses_them(depot):
    put(depot, record())
    rubbish, used = depot.folder / "old-1.0-1", depot.folder / "used-1.0-1"
    for folder in (rubbish, used):
        folder.mkdir()
        (folder / "file").write_text("x")
    number = hold(used)
    depot.change("acme", strikes=1)
    assert not rubbish.exists()
    assert used.exists()
    os.close(number)
    depot.change("acme", strikes=2)
    assert not used.exists()
    assert depot.place(record()).exists()


def test_a_staging_folder_is_nobodys_rubbish_while_it_is_in_use(depot):
    put(depot, record())
    with depot.staging() as folder:
        (folder / "half").write_text("x")
        depot.change("acme", strikes=1)
        assert (folder / "half").exists()
    assert not folder.exists()
    assert depot.records()


def test_a_staging_folder_that_comes_to_nothing_leaves_nothing(depot):
    with depot.staging():
        pass
    assert not depot.folder.exists()


def test_a_damaged_listing_is_told_and_not_guessed_at(depot):
    put(depot, record())
    (depot.folder / "depot.json").write_text('{"records": [{"name": 1}]}')
    with pytest.raises(DepotDamagedError):
        depot.records()
    (depot.folder / "depot.json").write_text('{"format": 99}')
    with pytest.raises(DepotDamagedError, match="newer mnedge"):
        depot.records()
    (depot.folder / "depot.json").write_text('{"later": ' + "[" * 50_000)
    with pytest.raises(DepotDamagedError):
        depot.records()


def test_a_lock_that_is_held_too_long_is_told(depot, monkeypatch):
    monkeypatch.setattr(depots, "LOCK_WITHIN_S", 0.1)
    with depot.changing() as kept:
        kept["acme"] = record()
        with pytest.raises(DepotBusyError), depot.changing():
            pytest.fail("two at once")


CHANGER = """
import sys
from contextlib import suppress
from pathlib import Path
from mnedge.plugins.depot import Depot, Point, Record
depot, name = Depot(Path(sys.argv[1])), sys.argv[2]
for number in range(10):
    with depot.changing() as kept:
        kept[f"{name}-{number}"] = Record(
            name=f"{name}-{number}", version="1", folder=f"{name}-{number}-1", digest="",
            files={}, size_bytes=0, source="", installed_at=0.0, installed_by="")
    if number % 2:
        with depot.changing() as kept:
            del kept[f"{name}-{number}"]
"""


@pytest.mark.live
def test_many_at_once_lose_nothing(depot):
    workers = [
        subprocess.Popen([sys.executable, "-c", CHANGER, str(depot.folder), f"w{n}"], cwd=ROOT)
        for n in range(3)
    ]
    for worker in workers:
        assert worker.wait(60) == 0
    names = {one.name for one in depot.records()}
    assert names == {f"w{n}-{m}" for n in range(3) for m in range(0, 10, 2)}


def test_states():
    assert record().state() == "off"
    assert record(allowed=True).state() == "on"
    assert record().state(["Acme"]) == "on"
    assert record(entry_points=()).state(["acme"]) == "library"
    bad = Quarantine(reason="", stage="loop", at=0.0, program="1")
    assert record(allowed=True, quarantine=bad).state(["acme"]) == "quarantined"


@given(st.text(alphabet="abAB01-_.", min_size=1, max_size=20))
def test_a_name_is_spelled_one_way(name):
    from packaging.utils import canonicalize_name

    assert normal(normal(name)) == normal(name)
    assert normal(name) == canonicalize_name(name).strip("-")


def test_what_was_altered_is_named(tmp_path):
    import hashlib

    files = {}
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(name)
        files[name] = hashlib.sha256(name.encode()).hexdigest()
    before = seen(tmp_path, list(files))
    assert altered(tmp_path, files) == []
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    assert altered(tmp_path, files) == []
    assert seen(tmp_path, list(files)) == before
    (tmp_path / "a.py").write_text("other")
    (tmp_path / "b.py").unlink()
    (tmp_path / "new.py").write_text("new")
    assert altered(tmp_path, files) == ["a.py was changed", "b.py is missing", "new.py was added"]
    assert seen(tmp_path, ["a.py"]) != before
    assert seen(tmp_path, list(files)) == ""
