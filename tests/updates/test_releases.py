"""Releases beside each other, and what they unpacked."""

import pytest

from mnedge.config.layout import Layout
from mnedge.updates.releases import PACKAGED, forget, key_of, led_to, program_of, prune, target_of

STUB = "#!/bin/sh\n# words\n_mnedge_key={}\nexit 1\n"


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "root")
    for number in (1, 2, 3):
        place(program_of(layout, f"1.{number}"), f"{number}" * 16)
        (layout.runtime / (f"{number}" * 16)).mkdir(parents=True)
    (layout.runtime / ".new-left-over").mkdir()
    return layout


def place(program, key):
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(STUB.format(key))


def test_the_key_is_read_from_the_beginning_of_the_one_file(tmp_path):
    program = tmp_path / "mnedge"
    place(program, "0123456789abcdef")
    assert key_of(program) == "0123456789abcdef"
    program.write_bytes(b"\x7fELF" + bytes(100))
    assert key_of(program) == ""
    assert key_of(tmp_path / "absent") == ""


def test_what_nobody_needs_is_removed(layout, tmp_path):
    gone = prune(layout, ["1.2", "1.3", ""], processes=tmp_path / "none")
    assert sorted(gone) == [".new-left-over", "1.1", "1" * 16]
    assert sorted(path.name for path in layout.releases.iterdir()) == ["1.2", "1.3"]
    assert sorted(path.name for path in layout.runtime.iterdir()) == ["2" * 16, "3" * 16]


def test_what_a_process_runs_from_stays(layout, tmp_path):
    process = tmp_path / "proc" / "42"
    process.mkdir(parents=True)
    (process / "exe").symlink_to(layout.runtime / ("1" * 16) / "mnedge" / "mnedge")
    prune(layout, ["1.3"], processes=tmp_path / "proc")
    assert sorted(path.name for path in layout.runtime.iterdir()) == ["1" * 16, "3" * 16]
    assert [path.name for path in layout.releases.iterdir()] == ["1.3"]


def test_what_the_debian_package_unpacked_stays(layout, tmp_path):
    place(layout.at(PACKAGED), "1" * 16)
    prune(layout, ["1.3"], processes=tmp_path / "none")
    assert (layout.runtime / ("1" * 16)).is_dir()


def test_a_link_names_its_release(tmp_path):
    (tmp_path / "current").symlink_to(target_of("1.2"))
    assert led_to(tmp_path / "current") == "1.2"
    assert led_to(tmp_path / "previous") == ""
    assert target_of("") == ""


def test_one_file_is_forgotten_unless_somebody_runs_from_it(layout, tmp_path):
    process = tmp_path / "proc" / "42"
    process.mkdir(parents=True)
    (process / "exe").symlink_to(layout.runtime / ("1" * 16) / "mnedge" / "mnedge")
    for key in ("1" * 16, "2" * 16, ""):
        forget(layout.runtime, key, tmp_path / "proc")
    assert sorted(path.name for path in layout.runtime.iterdir()) == [
        *(".new-left-over", "1" * 16, "3" * 16),
    ]
