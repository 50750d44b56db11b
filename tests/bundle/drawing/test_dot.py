"""Graphs for Graphviz."""

import shutil
import subprocess

import pytest

from mnedge.bundle.drawing.dot import dot
from mnedge.bundle.drawing.graph import Arrow, Box, Graph
from tests.bundle.drawing.drawings import FORK_JOIN, graph

NASTY = 'a "quoted" \\ back\\nslash\nline\x1b {x} ]'


def test_one_graph():
    made = graph(
        "a -> b: m\nb -> c",
        a={"marks": ["start"], "kind": "executor"},
        b={"notes": ["x"], "group": "s"},
        c={"marks": ["end"], "group": "s", "kind": "step"},
    )
    assert dot([made], ["Mine"], name="mine").splitlines() == [
        'digraph "mine" {',
        "  rankdir=LR;",
        '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=11];',
        '  edge [fontname="sans-serif", fontsize=9];',
        '  label="Mine";',
        '  "a" [label="a\\nexecutor", style="rounded,bold"];',
        '  subgraph "cluster_group_1" {',
        '    label="step s"; style=dotted;',
        '    "b" [label="b\\nrouter\\nx", shape=diamond, style=""];',
        '    "c" [label="c", style="rounded", peripheries=2];',
        "  }",
        '  "a" -> "b" [label="m"];',
        '  "b" -> "c";',
        "}",
    ]


def test_two_graphs_are_two_clusters_whose_names_do_not_meet():
    text = dot([graph("a", name="steps"), graph("a")], ["one", "two"], name="x")
    assert '"steps:a" [' in text
    assert '"agents:a" [' in text
    assert text.count("subgraph cluster_") == 2


def test_what_may_not_come_to_be_is_dashed():
    boxes = [Box(box_id="a", name="a", kind="step", marks=["maybe"])]
    arrows = [Arrow(source="a", target="a", maybe=True)]
    text = dot([Graph(name="steps", boxes=boxes, arrows=arrows)], ["x"], name="x")
    assert 'style="rounded,dashed"' in text
    assert '"a" -> "a" [style=dashed];' in text


def test_names_cannot_break_out_of_their_quotes():
    text = dot([graph("a", a={"name": NASTY, "box_id": "a"})], [NASTY], name=NASTY)
    assert '\\"quoted\\"' in text
    assert "\\\\ back\\\\nslash" in text
    assert "\x1b" not in text


@pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz here")
def test_graphviz_reads_it():
    graphs = [graph(FORK_JOIN, name="steps"), graph("a -> b", a={"name": NASTY})]
    text = dot(graphs, [NASTY, "two"], name=NASTY)
    told = subprocess.run(
        ["dot", "-Tplain"], input=text, capture_output=True, text=True, check=True
    )
    assert told.stdout.count("\nnode ") == 7
    assert told.stdout.count("\nedge ") == 7
    assert told.stderr == ""
