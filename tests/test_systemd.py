"""systemd, asked through a stand-in for `systemctl`."""

import os

import pytest

from mnedge import systemd
from mnedge.systemd import ServiceError, properties, systemctl

pytestmark = pytest.mark.live


@pytest.fixture
def says(tmp_path, monkeypatch):
    """Return what lets `systemctl` be another script; it writes down what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def script(text):
        file = folder / "systemctl"
        file.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\n{text}\n')
        file.chmod(0o755)
        return tmp_path / "asked"

    return script


def test_it_returns_what_was_said(says):
    asked = says("echo done")
    assert systemctl("start", "mnedge.service") == "done\n"
    assert asked.read_text() == "start mnedge.service\n"


def test_what_is_refused_is_said(says):
    says("echo Job failed >&2; exit 1")
    with pytest.raises(ServiceError, match="systemctl stop x: Job failed") as refused:
        systemctl("stop", "x")
    assert refused.value.hint
    says("exit 3")
    with pytest.raises(ServiceError, match="it ended with 3"):
        systemctl("stop", "x")


def test_a_machine_without_it_is_told(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServiceError, match="No such file"):
        systemctl("stop", "x")


def test_one_that_is_replaced_just_now_is_asked_again(says, tmp_path, monkeypatch):
    away = 'echo "Failed to connect to bus: No such file or directory" >&2; exit 1'
    asked = says(f"test -e {tmp_path}/back && exit 0; touch {tmp_path}/back; {away}")
    systemctl("stop", "mnedge.service")
    assert asked.read_text().splitlines() == ["stop mnedge.service"] * 2
    says(away)
    monkeypatch.setattr(systemd, "AWAY_S", 0.0)
    with pytest.raises(ServiceError, match="Failed to connect to bus"):
        systemctl("stop", "mnedge.service")


def test_properties_are_those_that_were_asked_for(says):
    says("printf 'MainPID=7\\nActiveState=active\\n'")
    assert properties("x", "ActiveState", "MainPID", "NRestarts") == {
        "ActiveState": "active",
        "MainPID": "7",
        "NRestarts": "",
    }
