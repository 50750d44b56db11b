"""Many boxes that are alike, drawn as one."""

from mnedge.bundle.drawing.folding import folded, together
from tests.bundle.drawing.drawings import FORK_JOIN, WIDE, graph


def seen(made):
    return [(box.name, box.count) for box in made.boxes]


def test_a_hundred_workers_become_one_box():
    made = folded(graph(WIDE))
    assert seen(made) == [("split", 1), ("w_1 … w_100", 100), ("join", 1)]
    assert [(arrow.source, arrow.target) for arrow in made.arrows] == [
        ("split", "w_1"),
        ("w_1", "join"),
    ]


def test_a_few_are_drawn_one_by_one():
    assert folded(graph(FORK_JOIN)) == graph(FORK_JOIN)
    assert len(folded(graph(FORK_JOIN), most=2).boxes) == 3


def test_chains_that_are_alike_become_one_chain():
    lines = [f"split -> a_{n}\na_{n} -> b_{n}: done_{n}\nb_{n} -> join" for n in range(8)]
    made = folded(graph("\n".join(lines)))
    assert seen(made) == [("split", 1), ("a_0 … a_7", 8), ("b_0 … b_7", 8), ("join", 1)]
    assert [arrow.labels for arrow in made.arrows] == [[], ["done_0"], []]


def test_what_differs_in_what_it_is_or_where_it_leads_is_not_alike():
    names = [f"w_{n}" for n in range(8)]
    text = "split -> " + " ".join(names) + "\n" + "\n".join(f"{name} -> join" for name in names)
    assert len(folded(graph(text)).boxes) == 3
    other = {"w_0": {"kind": "executor"}, "w_1": {"notes": ["odd"]}}
    assert seen(folded(graph(text, **other), most=4))[1:4] == [
        ("w_0", 1),
        ("w_1", 1),
        ("w_2 … w_7", 6),
    ]
    elsewhere = text + "\nw_3 -> else"
    assert ("w_3", 1) in seen(folded(graph(elsewhere)))


def test_those_that_follow_each_other_are_never_one():
    ring = "\n".join(f"n{n} -> n{(n + 1) % 9}" for n in range(9))
    assert folded(graph(ring)) == graph(ring)


def test_it_is_told_which_box_is_drawn_for_which():
    drawn_for = together(graph(WIDE))
    assert drawn_for["split"] == "split"
    assert {drawn_for[f"w_{n}"] for n in range(1, 101)} == {"w_1"}
