"""Boxes and arrows."""

from mnedge.bundle.drawing.graph import Arrow, Box, Graph, bundled
from tests.bundle.drawing.drawings import graph


def test_a_program_gets_the_facts():
    made = Graph(
        name="steps",
        boxes=[Box(box_id="a", name="a", kind="step", facts={"id": "a"})],
        arrows=[Arrow(source="a", target="a", facts={"id": "e"})],
    )
    assert made.document() == {"nodes": [{"id": "a"}], "edges": [{"id": "e"}]}


def test_arrows_between_the_same_boxes_become_one():
    made = bundled(graph("a -> b: one\na -> b: two\na -> b: one\nb -> a: back"))
    assert [(arrow.source, arrow.target, arrow.labels) for arrow in made.arrows] == [
        ("a", "b", ["one", "two"]),
        ("b", "a", ["back"]),
    ]


def test_one_that_stays_makes_the_whole_arrow_stay():
    boxes = graph("a -> b").boxes
    arrows = [Arrow(source="a", target="b", maybe=maybe) for maybe in (True, False)]
    assert not bundled(Graph(name="x", boxes=boxes, arrows=arrows)).arrows[0].maybe
    assert bundled(Graph(name="x", boxes=boxes, arrows=arrows[:1])).arrows[0].maybe


def test_below_a_name_stands_what_it_is_and_how_many():
    assert Box(box_id="a", name="a", kind="step", notes=["n"]).lines == ["n"]
    assert Box(box_id="a", name="a", kind="step_join", notes=["n"]).lines == ["step join", "n"]
    assert Box(box_id="a", name="a", kind="step", count=3).lines == ["3 steps"]
