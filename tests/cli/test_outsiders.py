"""How `mnedge plugin` tells it: one line of each kind. tests/cli/test_plugin.py has the rest."""

import pytest

from mnedge.cli.outsiders import PluginSourceError, check, install, list_all, show
from mnedge.cli.verbs import Asked
from mnedge.plugins import installing
from mnedge.plugins.asking import Report
from mnedge.plugins.depot import Depot, Quarantine
from tests.plugins.test_depot import record


@pytest.fixture
def depot(home):
    return Depot(home / "mnedge" / "plugins")


def put(depot, *records):
    with depot.changing() as kept:
        for one in records:
            kept[one.name] = one
            depot.place(one).mkdir()


def test_every_state_has_its_line(depot, capsys):
    bad = Quarantine(reason="it hangs", stage="loop", at=0.0, program="1", trace="there")
    library = record("shared", entry_points=(), came_with="acme")
    put(depot, record(allowed=True), record("bad", quarantine=bad), record("off"), library)
    list_all(Asked())
    told = capsys.readouterr().out
    for line in ("acme    1.0  on", "bad     1.0  quarantined", "off     1.0  off"):
        assert line in told
    assert "shared  1.0  library      for acme" in told
    assert "✗ bad: it hangs" in told
    list_all(Asked(output="ndjson"))
    assert capsys.readouterr().out.count("\n") == 4


def test_one_is_shown_whole(depot, capsys):
    put(depot, record(requires=("lib>=1",)), record("lib", entry_points=(), came_with="acme"))
    show(Asked(), "lib")
    assert "came with" in capsys.readouterr().out
    show(Asked(output="json"), "acme")
    assert '"libraries": [\n    "lib"\n  ]' in capsys.readouterr().out


def test_a_check_without_a_name_is_about_all(depot, capsys, monkeypatch):
    put(depot, record(files={}), record("other", files={}))
    monkeypatch.setattr(installing, "probed", lambda *_: Report())
    monkeypatch.setattr(installing.fitting, "tag_problems", lambda *_: iter(()))
    assert check(Asked(), None) == 0
    assert capsys.readouterr().out.count("is good (off)") == 2


def test_a_name_alone_is_no_source(home):
    with pytest.raises(PluginSourceError):
        install(Asked(), ("acme",), allow=True)
