"""How a finding is shown."""

import pytest

from mnedge.bundle.problem import BundleInvalidError, Problem, Severity, dotted, invalid


def problem(**changes):
    kept = {
        "rule": "E-03",
        "code": "graph.unknown_end",
        "severity": Severity.ERROR,
        "message": "edge e1 references missing to_node x",
        "help": "name an agent",
        "at": ("edges", 0, "to_node"),
        "expected": ["a"],
        "actual": "x",
    }
    return Problem(**{**kept, **changes})


def test_a_problem_reads_as_one_line():
    assert str(problem()) == (
        "E-03 manifest.json edges[0].to_node: edge e1 references missing to_node x"
    )
    assert str(problem(at=(), line=3, column=7)).startswith("E-03 manifest.json:3:7: ")


def test_a_problem_is_a_record_for_machines():
    assert problem().record() == {
        "code": "graph.unknown_end",
        "rule": "E-03",
        "severity": "error",
        "message": "edge e1 references missing to_node x",
        "help": "name an agent",
        "location": {
            "source": "manifest.json",
            "path": "edges[0].to_node",
            "pointer": "/edges/0/to_node",
        },
        "expected": ["a"],
        "actual": "x",
    }
    assert problem(line=3, column=7).record()["location"]["line"] == 3


@pytest.mark.parametrize(
    "at, path",
    [
        ((), ""),
        (("nodes", 3, "config", "A_B"), "nodes[3].config.A_B"),
        (("a.b", ""), '["a.b"][""]'),
        (("a", "b c", 0, 1), 'a["b c"][0][1]'),
    ],
)
def test_a_place_is_written_as_people_write_it(at, path):
    assert dotted(at) == path


def test_a_pointer_escapes_its_own_signs():
    assert problem(at=("a/b", "c~d")).pointer == "/a~1b/c~0d"


def test_one_error_lists_every_problem():
    error = invalid("my/bundle", [problem(), problem(rule="N-01")])
    assert isinstance(error, BundleInvalidError)
    assert error.exit_code == 2
    assert error.message.startswith("Job bundle at 'my/bundle' is not valid: 2 errors: E-03")
    assert error.hint == "name an agent"
    assert [row["rule"] for row in error.details["problems"]] == ["E-03", "N-01"]
    assert "1 error:" in invalid("b", [problem()]).message
