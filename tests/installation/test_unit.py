"""The unit: one text, every place filled, hardened, and understood by systemd."""

import re
import subprocess

import pytest

from mnedge.installation.unit import Service, UnitValueError, filled, places, template

PLACE = re.compile(r"@[A-Z_]+@")
MOST_EXPOSED = "20"
"""Tenths of what `systemd-analyze security` counts."""


def unit(**changes) -> str:
    return filled(template(), Service(**changes))


def values(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


def test_no_place_is_left_open_and_none_is_filled_in_vain():
    assert not PLACE.search(unit())
    assert {found.strip("@") for found in PLACE.findall(template())} == set(places(Service()))


def test_a_value_with_a_space_is_one_word():
    text = unit(program="/srv/my node/mnedge", data_dir="/srv/my data", writable=("/srv/a b", "/c"))
    assert values(text, "ExecStart") == [
        '"/srv/my node/mnedge" daemon --config /etc/mnedge/config.yaml'
    ]
    assert values(text, "WorkingDirectory") == ['"/srv/my data"']
    assert values(text, "ReadWritePaths") == ['"-/srv/a b" -/c']


def test_what_systemd_would_take_for_its_own_is_told_apart():
    text = unit(program="/srv/100%/$HOME/mnedge", environment=(("A", '50% "off" \\ $B'),))
    assert values(text, "ExecStart")[0].startswith("/srv/100%%/$$HOME/mnedge daemon")
    assert values(text, "Environment") == ['"A=50%% \\"off\\" \\\\ $B"']


@pytest.mark.parametrize("name", ["", "a\nExecStart=/bin/sh", "a\0b", "\x1b[2J"])
def test_a_line_break_cannot_smuggle_a_line_in(name):
    with pytest.raises(UnitValueError):
        unit(user=name)


def test_only_the_node_is_told_to_stop_and_has_more_time_than_its_grace():
    text = unit()
    assert values(text, "KillMode") == ["mixed"]
    assert int(values(text, "TimeoutStopSec")[0]) >= 10 + 15
    assert values(text, "Type") == ["notify"]


@pytest.mark.live
def test_the_unit_is_hardened_and_every_line_of_it_is_understood(tmp_path):
    file = tmp_path / "mnedge.service"
    file.write_text(unit(program="/bin/true"))
    for words in (
        ["verify", "--recursive-errors=yes", "--man=no"],
        ["security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager"],
    ):
        done = subprocess.run(
            ["systemd-analyze", *words, file],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert "Unknown" not in done.stdout


@pytest.mark.live
def test_a_unit_that_is_less_hardened_would_be_noticed(tmp_path):
    file = tmp_path / "mnedge.service"
    text = unit(program="/bin/true").replace("ProtectProc=invisible\n", "")
    assert text != unit(program="/bin/true")
    file.write_text(text)
    words = ["security", "--offline=yes", f"--threshold={MOST_EXPOSED}"]
    done = subprocess.run(["systemd-analyze", *words, file], capture_output=True, check=False)
    assert done.returncode == 1
