"""Graphs as lists."""

from mnedge.bundle.drawing.folding import folded
from mnedge.bundle.drawing.graph import Arrow, Box, Graph
from mnedge.bundle.drawing.listing import listing
from tests.bundle.drawing.drawings import CIRCLE, WIDE, graph


def listed(made):
    return ["".join(text for text, _ in line) for line in listing(made)]


def test_every_box_is_listed_with_its_layer_and_where_it_leads():
    made = graph(
        CIRCLE, ask={"marks": ["start"]}, done={"notes": ["ends the run"], "marks": ["end"]}
    )
    assert listed(made) == [
        "  1  ask    router, starts the run",
        "       → try  asked",
        "  2  try    router",
        "       → judge  tried",
        "  3  judge  router",
        "       ↺ ask  again",
        "       → done  good",
        "  4  done   router, ends the run",
    ]


def test_many_targets_are_told_in_short():
    names = " ".join(f"b{n}" for n in range(9))
    assert listed(graph(f"a -> {names}: m"))[1] == ("       → b0, b1, b2, b3, b4, b5 and 3 more  m")
    assert listed(folded(graph(WIDE)))[1:3] == [
        "       → w_1 … w_100",
        "  2  w_1 … w_100  100 routers",
    ]


def test_what_may_not_come_to_be_has_another_arrow():
    boxes = [Box(box_id=name, name=name, kind="step") for name in "ab"]
    arrows = [Arrow(source="a", target="b", labels=["r"], maybe=True)]
    made = Graph(name="steps", boxes=boxes, arrows=arrows)
    assert listed(made) == ["  1  a", "       ⇢ b  r", "  2  b"]


def test_layers_line_up_however_many_there_are():
    chain = "\n".join(f"n{n} -> n{n + 1}" for n in range(10))
    lines = listed(graph(chain))
    assert lines[0].startswith("   1  n0")
    assert lines[-1].startswith("  11  n10")
    assert listed(graph("")) == []
