"""Which desk a verb goes to."""

import socket

import pytest

from mnedge.cli import contexts
from mnedge.cli.embedded import Embedded
from mnedge.cli.reach import (
    DaemonNeededError,
    LocalOnlyError,
    config_of,
    desk,
    host_of,
    line,
    lives,
    refuse_host,
    refuse_named,
)
from mnedge.cli.verbs import Asked


@pytest.fixture(autouse=True)
def plain(home, monkeypatch):
    for name in ("MNEDGE_HOST", "MNEDGE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return home


def test_a_node_is_named_by_option_environment_or_the_current_context(monkeypatch, home):
    import os

    assert host_of(Asked()) == ""
    kept = contexts.Contexts(current="lab", contexts={"lab": contexts.Context(url="http://lab")})
    contexts.write(os.environ, kept)
    assert host_of(Asked()) == "lab"
    assert host_of(Asked(data_dir="/elsewhere")) == ""
    monkeypatch.setenv("MNEDGE_HOST", "edge")
    assert host_of(Asked()) == "edge"
    assert host_of(Asked(host="other")) == "other"
    assert host_of(Asked(host="here")) == ""


def test_what_works_here_only_is_refused_elsewhere():
    refuse_host(Asked(), "job recover")
    with pytest.raises(LocalOnlyError, match="not on edge"):
        refuse_host(Asked(host="edge"), "job recover")


def test_what_is_about_this_machine_is_refused_only_if_another_one_is_named():
    for asked in (Asked(), Asked(host="here")):
        refuse_named(asked, "doctor")
    with pytest.raises(LocalOnlyError, match="doctor is about this machine, not edge"):
        refuse_named(Asked(host="edge"), "doctor")


@pytest.mark.parametrize(
    "words", [("doctor",), ("config", "check"), ("config", "show"), ("daemon",)]
)
def test_nobody_takes_what_this_machine_says_for_another_node(mnedge, words):
    assert "this machine, not edge" in mnedge("--host", "edge", *words, code=2).err


def test_a_socket_that_nobody_serves_is_no_daemon(home):
    config = config_of(Asked())
    assert not lives(config)
    config.socket.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(config.socket))
        assert not lives(config)
        stale.listen()
        assert lives(config)


async def test_without_a_daemon_the_store_answers():
    async with desk(Asked()) as found:
        assert isinstance(found, Embedded)
        assert found.where == ""


@pytest.mark.usefixtures("home")
async def test_what_only_a_daemon_does_is_refused_without_one():
    with pytest.raises(DaemonNeededError, match="only a daemon counts stars"):
        async with line(Asked(), "counts stars"):
            pass
