"""Pictures as SVG."""

import xml.etree.ElementTree as ET

from msgspec import structs

from mnedge.bundle.drawing.place import placed
from mnedge.bundle.drawing.svg import svg
from tests.bundle.drawing.drawings import CIRCLE, FORK_JOIN, graph

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*graphs, captions=None):
    text = svg([placed(one) for one in graphs], captions or [one.name for one in graphs])
    return text, ET.fromstring(text)


def of_class(root, word):
    return [one for one in root.iter() if word in one.get("class", "").split()]


def test_every_card_and_arrow_is_there():
    _, root = drawn(graph(FORK_JOIN))
    assert [one.find(f"{SVG}text").text for one in of_class(root, "card")] == [
        "start",
        "left",
        "middle",
        "right",
        "end",
    ]
    assert len(of_class(root, "way")) == len(of_class(root, "tip")) == 6
    assert [one.get("data-id") for one in of_class(root, "card")][:2] == ["start", "left"]
    ends = {(one.get("data-from"), one.get("data-to")) for one in of_class(root, "way")}
    assert ("left", "end") in ends


def test_marks_and_kinds_can_be_seen():
    made = graph(
        CIRCLE,
        ask={"marks": ["start"], "kind": "executor"},
        done={"marks": ["end"]},
        judge={"marks": ["maybe"], "count": 3},
    )
    _, root = drawn(made)
    card = of_class(root, "executor")[0]
    assert card.find(f"{SVG}path").get("class") == "start"
    assert [one.tag for one in of_class(root, "end")].count(f"{SVG}rect") == 1
    assert len(of_class(of_class(root, "maybe")[0], "face")) == 3
    assert len(of_class(root, "back")) == 2


def test_a_curve_is_level_at_both_ends_and_a_straight_way_is_straight():
    _, root = drawn(graph("a -> b c"))
    paths = [one.get("d") for one in of_class(root, "way")]
    assert all("C" in path for path in paths)
    _, root = drawn(graph("a -> b"))
    assert "C" not in of_class(root, "way")[0].get("d")
    _, root = drawn(graph("a -> a"))
    assert of_class(root, "way")[0].get("d").count("C") == 1


def test_two_pictures_stand_below_each_other_with_captions():
    text, root = drawn(graph("a", name="steps"), graph("b"), captions=["one", "two"])
    assert [one.text for one in of_class(root, "caption")] == ["one", "two"]
    assert root.find(f"{SVG}title").text == "one; two"
    assert of_class(root, "steps")
    assert float(root.get("height")) > 100
    assert text.count("<svg") == 1


def test_nothing_that_names_say_gets_out_of_its_text():
    nasty = '<script>alert("x")</script>&"\'\x1b[31m\x00'
    made = graph("a -> b: m", a={"name": nasty, "kind": 'r" onload="x', "notes": [nasty]})
    boxes = [*made.boxes, structs.replace(made.boxes[0], box_id=nasty)]
    made = structs.replace(made, boxes=boxes)
    text, root = drawn(made, captions=[nasty])
    assert "<script" not in text
    assert not [name for one in root.iter() for name in one.attrib if name.startswith("on")]
    assert "\x1b" not in text
    assert not [one for one in root.iter() if one.tag.endswith("script")]


def test_it_is_readable_on_light_and_dark_pages_and_needs_nothing_else():
    text, root = drawn(graph(CIRCLE))
    assert "prefers-color-scheme:dark" in root.find(f"{SVG}style").text
    assert text.count("http") == 1
    assert "url(" not in text


def test_an_empty_graph_is_a_picture_too():
    _, root = drawn(graph(""))
    assert of_class(root, "card") == []


def test_a_page_that_has_a_style_sheet_gets_a_picture_without_one():
    picture = placed(graph(FORK_JOIN))
    plain = svg([picture], ["of one"], styled=False)
    assert "<style" not in plain
    assert "style=" not in plain
    assert 'class="mnedge-graph"' in plain
