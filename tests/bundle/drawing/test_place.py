"""Where everything in a picture stands."""

from hypothesis import given
from hypothesis import strategies as st

from mnedge.bundle.drawing.place import cut, placed, text_width
from tests.bundle.drawing.drawings import CIRCLE, FORK_JOIN, graph


def ways(picture):
    return {(way.arrow.source, way.arrow.target): way for way in picture.ways}


def cards(picture):
    return {card.box.box_id: card for card in picture.cards}


def test_layers_go_from_left_to_right_and_arrows_from_rim_to_rim():
    picture = placed(graph(FORK_JOIN))
    found = cards(picture)
    assert found["start"].left < found["left"].left == found["right"].left < found["end"].left
    for (source, target), way in ways(picture).items():
        one, other = found[source], found[target]
        assert way.points[0][0] == one.left + one.width
        assert way.points[-1][0] == other.left
        for (_, y), card in ((way.points[0], one), (way.points[-1], other)):
            assert card.top <= y <= card.top + card.height


def test_an_arrow_back_runs_from_right_to_left():
    way = ways(placed(graph(CIRCLE)))["judge", "ask"]
    assert way.backward
    assert way.points[0][0] > way.points[-1][0]


def test_arrows_of_one_card_do_not_share_their_ends():
    picture = placed(graph("a -> b\nb -> a"))
    ends = [point for way in picture.ways for point in (way.points[0], way.points[-1])]
    assert len(set(ends)) == 4


def test_a_box_that_leads_to_itself_has_a_loop():
    way = ways(placed(graph("a -> a: again")))["a", "a"]
    assert way.loop
    assert len(way.points) == 4
    assert min(y for _, y in way.points) >= 0


def test_labels_stand_beside_their_arrow_and_leave_out_what_is_said_already():
    picture = placed(graph("gauge -> judge: gauge_read\njudge -> end: good if x = 1"))
    one, other = (way.labels[0] for way in picture.ways)
    assert (one.text, one.full) == ("…read", "gauge_read")
    assert (other.text, other.full) == ("good if x = 1", "good if x = 1")


def test_of_many_labels_some_are_shown():
    text = "\n".join(f"a -> b: type_{n}" for n in range(5))
    labels = placed(graph(text)).ways[0].labels
    assert [label.text for label in labels] == ["type_0", "type_1", "and 3 more"]
    assert labels[-1].full == "type_2, type_3, type_4"


def test_the_picture_holds_everything():
    picture = placed(graph(CIRCLE + "\na -> a: this goes on for ever and ever"))
    for card in picture.cards:
        assert card.left >= 0
        assert card.left + card.width <= picture.width
        assert card.top >= 0
        assert card.top + card.height <= picture.height
    assert placed(graph("")).cards == []


def test_long_texts_are_cut_in_the_middle():
    assert cut("short", 10, 100) == "short"
    text = cut("a_very_long_name_that_ends_in_7", 10, 80)
    assert text_width(text, 10) <= 80
    assert text.startswith("a_ver")
    assert text.endswith("_7")
    assert text_width("水", 10) > text_width("a", 10)


pairs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20)


@given(pairs)
def test_no_two_cards_lie_on_each_other(given_pairs):
    text = "\n".join([f"n{i}" for i in range(8)] + [f"n{a} -> n{b}" for a, b in given_pairs])
    found = placed(graph(text)).cards
    for index, one in enumerate(found):
        for other in found[:index]:
            assert (
                one.left + one.width <= other.left
                or other.left + other.width <= one.left
                or one.top + one.height <= other.top
                or other.top + other.height <= one.top
            )
