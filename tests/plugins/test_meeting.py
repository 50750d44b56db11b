import sys

import pytest

from mnedge.plugins.asking import Request, asked, harmless, imported
from mnedge.plugins.depot import Point
from mnedge.plugins.meeting import bundled_names, reported
from tests.plugins.things import Echo


def report(*points):
    return reported(
        Request(label="acme 1.0", folders=(), points=points, scratch="/nowhere", limit_s=5.0)
    )


def test_what_it_brings_is_reported(plugin):
    got = report(plugin(runners=lambda: [Echo()], skills=lambda folder, allowed: []))
    assert got.trouble is None
    assert got.brings == {"runners": ("acme",), "skills": (), "devices": (), "connectors": ()}


@pytest.mark.parametrize(
    "members, stage, said",
    [
        ({"runners": lambda: 1 / 0}, "hook", "its hook runners failed: ZeroDivisionError"),
        ({"runners": lambda: sys.exit(3)}, "hook", "its hook runners failed: SystemExit: 3"),
        ({"runners": lambda: None}, "", ""),
        ({"runners": lambda: "text"}, "hook", "returned a str, not a list"),
        ({"runners": lambda: [Echo]}, "hook", "returned the class Echo"),
        ({"skills": lambda: [Echo()]}, "hook", "has no method check"),
        ({"telepaths": lambda: None}, "import", "telepaths"),
        ({"runners": lambda no_such: []}, "import", "no_such"),
        ({"runners": lambda: [Echo(), Echo()]}, "clash", "a name that is its own already"),
    ],
)
def test_what_is_wrong_with_it_is_reported(plugin, members, stage, said):
    trouble = report(plugin(**members)).trouble
    assert (trouble.stage if trouble else "") == stage
    assert said in (trouble.message if trouble else "")


def test_a_bundled_name_is_taken(plugin):
    class Local(Echo):
        name = "local"
        modules = ("MirrorNeuron.Runner.HostLocal",)

    trouble = report(plugin(runners=lambda: [Local()])).trouble
    assert trouble.stage == "clash"
    assert "'MirrorNeuron.Runner.HostLocal', a name that is bundled already" in trouble.message


def test_who_is_not_there_or_a_class_cannot_be_imported(plugin):
    assert "cannot be imported" in report(Point("acme", "acme_nowhere")).trouble.message
    point = plugin(Plugin=Echo, runners=lambda: None)
    trouble = report(Point("acme", f"{point.value}:Plugin")).trouble
    assert trouble.stage == "import"
    assert "is a class: name an instance" in trouble.message
    assert "has no attribute" in report(Point("acme", f"{point.value}:gone")).trouble.message


def test_an_interrupt_passes_from_import_and_is_trouble_in_a_probe(plugin):
    def interrupt():
        raise KeyboardInterrupt

    point = plugin(runners=interrupt)
    manager = imported([point])
    with pytest.raises(KeyboardInterrupt):
        asked(manager, "runners", harmless("/nowhere"))
    assert report(point).trouble.message == "it interrupts the program"


def test_the_trace_shows_where(plugin):
    def broken():
        raise ValueError("here")

    assert "in broken" in report(plugin(runners=broken)).trouble.trace


def test_bundled_names_are_all_there():
    names = bundled_names("/nowhere")
    assert "host_local" in names["runners"]
    assert "file" in names["skills"]
