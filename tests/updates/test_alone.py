"""One file that nobody installed, replaced where it stands."""

import json
import os
from pathlib import Path

import pytest

from mnedge import faults
from mnedge.durable import sha256_of
from mnedge.faults import InjectedFaultError
from mnedge.updates.alone import NothingBeforeError, NotOursError, old_of, replaced, returned
from mnedge.updates.machine import ProgramBadError
from mnedge.updates.prepare import offered
from mnedge.updates.source import ContentWrongError
from tests.updates.fake_root import KEYS


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "bin" / "mnedge"
    path.parent.mkdir()
    path.write_text('{"version": "1.0.0"}')
    return path


def update(root, file, runtime=None, **told):
    offer = offered(
        root.file(**told),
        KEYS,
        root.machine.described(file),
        sha256_of(file),
        allow_downgrade=False,
        machine=root.machine,
    )
    replaced(file, offer, root.machine, lambda _: None, runtime)


def version(file):
    return json.loads(file.read_text())["version"]


def names(file):
    return sorted(path.name for path in file.parent.iterdir())


def test_the_new_one_takes_its_place_and_the_old_one_is_kept(root, file):
    update(root, file, version="1.1.0")
    update(root, file, version="1.2.0")
    assert (version(file), version(old_of(file))) == ("1.2.0", "1.1.0")
    assert names(file) == ["mnedge", "mnedge.old"]
    assert os.access(file, os.X_OK)


def test_what_nobody_can_go_back_to_is_forgotten(root, file, tmp_path):
    runtime = tmp_path / "runtime"
    (runtime / ("a" * 16)).mkdir(parents=True)
    old_of(file).write_text(f"#!/bin/sh\n_mnedge_key={'a' * 16}\n")
    update(root, file, runtime=runtime, version="1.1.0")
    assert list(runtime.iterdir()) == []


def test_one_that_does_not_work_leaves_all_as_it_was(root, file):
    with pytest.raises(ProgramBadError):
        update(root, file, version="1.1.0", selftest="fails")
    assert (version(file), names(file)) == ("1.0.0", ["mnedge"])


def test_one_that_was_changed_leaves_all_as_it_was(root, file):
    where = Path(root.file(version="1.1.0"))
    offer = offered(
        str(where), KEYS, root.machine.described(file), "", allow_downgrade=False,
        machine=root.machine,
    )  # fmt: skip
    where.write_text(where.read_text().upper())
    with pytest.raises(ContentWrongError):
        replaced(file, offer, root.machine, lambda _: None)
    assert (version(file), names(file)) == ("1.0.0", ["mnedge"])


def test_an_update_that_was_cut_leaves_the_file_and_the_next_one_works(root, file):
    with faults.armed("update.fetched:1:raise"), pytest.raises(InjectedFaultError):
        update(root, file, version="1.1.0")
    assert version(file) == "1.0.0"
    update(root, file, version="1.1.0")
    assert names(file) == ["mnedge", "mnedge.old"]


def test_the_way_back_and_forth(root, file):
    with pytest.raises(NothingBeforeError):
        returned(file)
    update(root, file, version="1.1.0")
    returned(file)
    assert (version(file), version(old_of(file))) == ("1.0.0", "1.1.0")
    returned(file)
    assert (version(file), version(old_of(file))) == ("1.1.0", "1.0.0")
    assert names(file) == ["mnedge", "mnedge.old"]


def test_a_file_system_without_links_gets_copies(root, file, monkeypatch):
    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refused)
    update(root, file, version="1.1.0")
    assert (version(file), version(old_of(file))) == ("1.1.0", "1.0.0")


def test_a_folder_that_is_not_ours_is_refused_before_anything(root, file, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(NotOursError, match="cannot be written"):
        update(root, file, version="1.1.0")
    with pytest.raises(NotOursError):
        returned(file)
