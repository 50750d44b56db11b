import xml.etree.ElementTree as ET
from itertools import pairwise

from mnedge.bundle.drawing.graph import Box, Graph
from mnedge.bundle.drawing.graphs import agents_graph
from mnedge.gateway.console.pictures import MOST_CARDS, Plans, Standing, drawn, pictures, planned
from tests.runtime.rig import a_spec, agent, edge, pipeline, two_steps

SVG = "{http://www.w3.org/2000/svg}"


def cards(shown):
    """Return each card's classes and lines by its id."""
    tree = ET.fromstring(shown.svg)
    return {
        one.get("data-id"): (
            one.get("class").split(),
            [text.text for text in one.findall(f"{SVG}text")],
        )
        for one in tree.iter(f"{SVG}g")
        if one.get("data-id")
    }


def standing(agent_id, status, handled=0):
    return {"agent_id": agent_id, "status": status, "processed_messages": handled}


def test_before_any_run_nothing_is_said_of_how_it_stands():
    (agents,) = pictures(pipeline())
    assert agents.name == "agents"
    assert "s-" not in " ".join(" ".join(classes) for classes, _ in cards(agents).values())


def test_each_card_says_how_it_stands_by_sign_word_and_class():
    (agents,) = pictures(
        pipeline(),
        [standing("intake", "ready", 1), standing("worker", "running"), standing("sink", "error")],
    )
    shown = cards(agents)
    assert shown["worker"][1][-1] == "● running"
    assert "s-live" in shown["worker"][0]
    assert shown["intake"][1][-1] == "· ready · 1"
    assert "s-bad" in shown["sink"][0]


def test_a_picture_keeps_its_size_while_the_job_runs():
    def size(status, handled):
        stands = [standing(name, status, handled) for name in ("intake", "worker", "sink")]
        return ET.fromstring(pictures(pipeline(), stands)[0].svg).get("viewBox")

    assert size("ready", 0) == size("restarting", 99_999) == size("completed", 7)


def test_steps_show_their_tries_and_those_made_while_it_ran_are_there():
    ledger = {
        "steps": {
            "fetch": {"id": "fetch", "status": "completed", "attempt_count": 1},
            "clean": {"id": "clean", "status": "retry_wait", "attempt_count": 2, "max_attempts": 3},
            "clean[0]": {"id": "clean[0]", "label": "first", "status": "pending"},
        },
        "edges": [{"from": "fetch", "to": "clean[0]"}, {"from": "gone", "to": "clean"}],
    }
    steps, _ = pictures(two_steps(), [], ledger)
    shown = cards(steps)
    assert shown["clean"][1][-1] == "↻ retry wait · try 2 of 3"
    assert shown["clean[0]"][1][0] == "first"
    assert steps.count == 3
    assert 'data-from="fetch" data-to="clean[0]"' in steps.svg


def test_many_alike_share_a_card_that_tells_the_most_urgent():
    workers = [f"w_{n}" for n in range(20)]
    spec = a_spec(
        [agent("start"), *(agent(name) for name in workers)],
        [edge("start", name) for name in workers],
        {"start": [{}]},
    )
    stands = [standing(name, "completed") for name in workers[1:]] + [standing("w_0", "error")]
    (agents,) = pictures(spec, stands)
    assert cards(agents)["w_0"][1][-1] == "✗ 1 error, 19 completed"
    assert agents.drawn_for["w_7"] == "w_0"


def test_names_that_are_markup_stay_text():
    name = '"><script>alert(1)</script>'
    graph = Graph(name="agents", boxes=[Box(box_id=name, name=name, kind="router")])
    shown = drawn(planned(graph, frozenset({name})), {name: Standing(name)})
    assert "<script" not in shown.svg
    assert list(cards(shown)) == [name]
    assert "<style" not in shown.svg


def test_what_takes_long_is_done_once_for_each_shape():
    plans = Plans(most=2)
    graph = agents_graph(pipeline())
    known = frozenset({"intake", "worker", "sink"})
    first = plans.plan("job-1", graph, known)
    assert plans.plan("job-1", graph, known) is first
    assert plans.plan("job-1", graph, frozenset()) is not first
    assert plans.plan("job-2", graph, known) is not first
    assert plans.plan("job-1", graph, known) is not first, "the oldest was given up"


def test_what_nobody_could_read_is_not_drawn():
    names = [f"a{chr(97 + n % 26)}{n}" for n in range(MOST_CARDS + 1)]
    chain = [edge(one, other, f"t{one}") for one, other in pairwise(names)]
    spec = a_spec([agent(name) for name in names], chain, {names[0]: [{}]})
    (agents,) = pictures(spec)
    assert agents.svg == ""
    assert agents.count == MOST_CARDS + 1
