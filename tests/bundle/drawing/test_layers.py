"""Boxes in layers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.bundle.drawing import layers
from mnedge.bundle.drawing.layers import (
    backward_arrows,
    crossings,
    layered,
    layers_of,
    settled,
)
from tests.bundle.drawing.drawings import CIRCLE, FORK_JOIN, graph


def rows(made, **more):
    found = layered(made, {box.box_id: 10 for box in made.boxes}, gap=2, **more)
    return found, [[found.spots[name].box_id for name in row] for row in found.rows]


def test_every_box_stands_behind_what_leads_to_it():
    _, found = rows(graph(FORK_JOIN))
    assert found == [["start"], ["left", "middle", "right"], ["end"]]


def test_what_nothing_leads_to_stands_right_before_what_it_leads_to():
    assert layers_of(["a", "b", "c", "late", "alone"], [("a", "b"), ("b", "c"), ("late", "c")]) == {
        "a": 0,
        "b": 1,
        "c": 2,
        "late": 1,
        "alone": 0,
    }


def test_a_long_arrow_passes_the_layers_between():
    found, listed = rows(graph("a -> b\nb -> c\na -> c"), passing=1)
    assert sorted(listed[1]) == ["", "b"]
    way = found.ways["a", "c"]
    assert [found.spots[name].layer for name in way] == [0, 1, 2]


def test_circles_are_cut_where_they_lead_back():
    found, listed = rows(graph(CIRCLE))
    assert found.backward == {("judge", "ask")}
    assert [row for row in listed if "judge" in row] == [["judge", ""]] or listed[2][0] == "judge"
    assert found.ways["judge", "ask"][0] == "ask"
    assert backward_arrows(["a"], []) == set()


def test_a_box_may_lead_to_itself():
    found, _ = rows(graph("a -> a b"))
    assert found.loops == {("a", "a")}
    assert ("a", "a") not in found.ways


def test_crossings_are_avoided():
    found, _ = rows(graph("top -> a b\na -> y\nb -> x\nx\ny"))
    assert [found.spots[name].box_id for name in found.rows[2]] in (["y", "x"], ["x", "y"])
    links = [pair for way in found.ways.values() for pair in pairwise(way)]
    for upper, lower in pairwise(found.rows):
        assert crossings(upper, lower, links) == 0


def test_what_does_not_hang_together_stands_apart():
    found, _ = rows(graph("a -> b c\nx -> y z\nalone"))
    sides = [
        [spot.position for spot in found.spots.values() if spot.box_id in part]
        for part in ("abc", "xyz", ["alone"])
    ]
    assert max(sides[0]) < min(sides[1])
    assert max(sides[1]) < min(sides[2])


def test_with_too_many_passings_arrows_run_straight(monkeypatch):
    monkeypatch.setattr(layers, "MOST_PASSING", 0)
    found, _ = rows(graph("a -> b\nb -> c\na -> c"))
    assert found.direct
    assert found.ways["a", "c"] == ["a", "c"]


def test_crossings_are_counted():
    assert crossings("ab", "xy", [("a", "y"), ("b", "x")]) == 1
    assert crossings("ab", "xy", [("a", "x"), ("b", "y"), ("a", "y"), ("b", "x")]) == 1
    assert crossings("abc", "xyz", [("a", "z"), ("b", "y"), ("c", "x"), ("q", "x")]) == 3


@pytest.mark.parametrize(
    "wanted, distances, expected",
    [
        ([], [], []),
        ([3.0], [], [3.0]),
        ([0.0, 10.0], [4.0], [0.0, 10.0]),
        ([5.0, 5.0], [4.0], [3.0, 7.0]),
        ([9.0, 0.0, 0.0], [1.0, 1.0], [2.0, 3.0, 4.0]),
    ],
)
def test_positions_settle_as_near_as_they_may(wanted, distances, expected):
    if wanted:
        assert settled(wanted, distances) == pytest.approx(expected)
    else:
        assert settled(wanted or [0.0], distances) == [0.0]


edges = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40)


@given(edges)
def test_any_graph_comes_into_layers(pairs):
    text = "\n".join([f"n{i}" for i in range(12)] + [f"n{a} -> n{b}" for a, b in pairs])
    made = graph(text)
    found, listed = rows(made, passing=1)
    assert sorted(name for row in listed for name in row if name) == sorted(
        box.box_id for box in made.boxes
    )
    for pair, way in found.ways.items():
        ends = (way[0], way[-1])
        assert ends == (pair[::-1] if pair in found.backward else pair)
        heights = [found.spots[name].layer for name in way]
        assert heights == list(range(heights[0], heights[0] + len(way)))
    for row in found.rows:
        places = [found.spots[name] for name in row]
        for one, other in pairwise(places):
            room = (one.breadth + other.breadth) / 2 + 2
            assert other.position - one.position >= room - 1e-6
    assert min(s.position - s.breadth / 2 for s in found.spots.values()) >= -1e-6
    assert rows(made, passing=1)[1] == listed
