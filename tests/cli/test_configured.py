import io

from mnedge.cli.configured import tell_problems, tell_values
from mnedge.cli.screen import Screen
from mnedge.cli.verbs import Asked
from mnedge.config.problem import Problem
from mnedge.config.read import load_config


def test_problems_stand_under_their_places():
    screen = Screen(Asked(), io.StringIO())
    problem = Problem(
        rule="CFG-E05", message="is bad", path="a.b", source="f", line=1, column=2, expected="good"
    )
    tell_problems(screen, [problem], "f")
    assert screen.stream.getvalue() == (
        "f:1:2\n  ✗ CFG-E05  a.b  is bad\n             expected good\n\n✗ 1 error\n"
    )


def test_values_stand_in_columns():
    screen = Screen(Asked(), io.StringIO())
    tell_values(screen, load_config({"HOME": "/h", "MNEDGE_NODE": "x"}), origin=True)
    lines = screen.stream.getvalue().splitlines()
    assert lines[0] == "file: none"
    assert ["node", "env", "MNEDGE_NODE", "x"] in [line.split() for line in lines]
