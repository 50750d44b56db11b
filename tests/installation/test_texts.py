"""What is written: it is valid, says the defaults, and bounds the logs."""

import re

import pytest

from mnedge.config.file import read_text
from mnedge.config.read import Flags, load_config
from mnedge.config.settings import FileSettings
from mnedge.installation.texts import by_hand, config_text, journal

PROSE = re.compile(r"^ *# \S")
COMMENTED = re.compile(r"^( *)#", re.MULTILINE)


def test_a_first_configuration_is_good_and_says_where_the_node_lives(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(config_text("/var/lib/mnedge", "root", None, None))
    loaded = load_config({"HOME": "/"}, Flags(file=str(file)))
    assert not loaded.problems
    assert str(loaded.config.data_dir) == "/var/lib/mnedge"
    assert str(loaded.config.runs_root) == "/var/lib/mnedge/runs"
    assert loaded.config.relay.listen.socket_group == "root"
    assert loaded.config.relay.listen.http is None


def test_what_is_commented_out_is_the_default():
    text = config_text("/var/lib/mnedge", "root", None, None)
    plain = "\n".join(line for line in text.splitlines() if not PROSE.match(line))
    opened = COMMENTED.sub(r"\1", plain)
    assert opened != plain
    assert "#" not in opened
    held = read_text(opened, "config.yaml")
    assert not held.problems
    default = FileSettings()
    for name in ("durability", "plugins", "soul", "trace", "daemon", "devices", "connectors"):
        assert getattr(held.settings, name) == getattr(default, name), name
    assert held.settings.updates == default.updates
    assert held.settings.relay.limits == default.relay.limits


def test_addresses_that_were_asked_for_are_set():
    listen = read_text(config_text("/d", "g", "0.0.0.0:80", "[::1]:5"), "x").settings.relay.listen
    assert (listen.http, listen.grpc) == ("0.0.0.0:80", "[::1]:5")


def test_the_journal_has_bounds():
    told = dict(
        line.split("=") for line in journal().splitlines() if "=" in line[:30] and line[0] != "#"
    )
    assert {"SystemMaxUse", "RuntimeMaxUse", "MaxRetentionSec"} <= set(told)


@pytest.mark.parametrize("supervisor", ["openrc", "runit", "sysv", "unknown"])
def test_every_supervisor_is_told_the_command(supervisor):
    told = "\n".join(by_hand(supervisor, "edge", "/usr/local/bin/mnedge"))
    assert "/usr/local/bin/mnedge daemon --config /etc/mnedge/config.yaml" in told
    assert "edge" in told
