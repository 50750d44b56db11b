"""Graphs in characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.bundle.drawing import sketch as module
from mnedge.bundle.drawing.folding import folded
from mnedge.bundle.drawing.sketch import name_of, sketch
from tests.bundle.drawing.drawings import CIRCLE, FORK_JOIN, LINEAR, WIDE, graph


def drawn(text, width=80, fold=False):
    made = graph(text)
    lines = sketch(folded(made) if fold else made, width=width)
    return lines and "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


PICTURES = {
    LINEAR: """
a
│
▼
b
│
▼
c
""",
    FORK_JOIN: """
          start
  ╭─────────┼────────╮
  ▼         ▼        ▼
left     middle    right
  ╰─────────┼────────╯
            ▼
           end
""",
    CIRCLE: """
   ask
    │
    ▼
   try
    │
    ▼
 judge ↺
    │
    ▼
  done
""",
    "a -> b d\nb -> c\nc -> d": """
  a
  ├─╮
  ▼ │
  b │
  │ │
  ▼ │
  c │
  ├─╯
  ▼
  d
""",
    "a -> b c\nb -> d e\nc -> e f\nd -> g\ne -> g\nf -> g": """
      a
   ╭──┤
   ▼  ▼
   b  c
╭──┴─╮│
│    │╰┬───╮
▼    ▼ ▼   ▼
d     e    f
╰─────┼────╯
      ▼
      g
""",
    "a -> c d\nb -> c d\nc -> e\nd -> e": """
  a   b
  ├───┤
  ▼   ▼
  c   d
  ├───╯
  ▼
  e
""",
}


@pytest.mark.parametrize("text", PICTURES)
def test_small_graphs_look_as_they_should(text):
    assert drawn(text) == PICTURES[text].strip("\n")


def test_lines_that_differ_in_their_targets_are_not_joined():
    picture = drawn("a -> c\nb -> c d")
    assert picture.splitlines() == [
        " a   b",
        "╭╯   │",
        "│ ╭──┤",
        "▼ ▼  ▼",
        " c   d",
    ]


def test_a_hundred_are_drawn_as_one_or_not_at_all():
    assert drawn(WIDE) is None
    assert drawn(WIDE, fold=True).splitlines()[3].strip() == "w_1 … w_100 (100)"


def test_what_does_not_fit_or_cannot_be_measured_is_not_drawn(monkeypatch):
    assert drawn(FORK_JOIN, width=10) is None
    assert drawn("水 -> b") is None
    assert drawn("a\u0301 -> b") is None
    monkeypatch.setattr(module, "MOST_BOXES", 2)
    assert drawn(LINEAR) is None


def test_names_say_how_many_and_whether_something_leads_back():
    (box,) = graph("a").boxes
    assert name_of(box, frozenset()) == "a"
    assert name_of(box, {("a", "b")}) == "a ↺"


def test_names_and_lines_have_roles():
    roles = {role for line in sketch(graph(LINEAR), width=80) for _, role in line}
    assert roles == {"name", "line", ""}


pairs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=16)


@given(pairs)
def test_any_drawing_has_every_name_once_and_a_tip_for_every_line(given_pairs):
    text = "\n".join([f"n{i}" for i in range(8)] + [f"n{a} -> n{b}" for a, b in given_pairs])
    picture = drawn(text, width=400)
    if picture is not None:
        for n in range(8):
            assert picture.count(f"n{n}") == 1
        kept = {(a, b) for a, b in given_pairs if a != b}
        assert picture.count("▼") <= len(kept)
        assert bool(kept) <= ("▼" in picture)
