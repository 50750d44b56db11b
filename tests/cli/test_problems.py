"""Findings are grouped, aligned and complete."""

from mnedge.cli.problems import place, report, totals


def problem(rule="E-02", severity="error", **more):
    location = {"source": "manifest.json", "path": "nodes[3].config", "pointer": "/nodes/3/config"}
    return {
        "rule": rule,
        "code": "graph.x",
        "severity": severity,
        "message": "an executor needs a command",
        "help": "give it one",
        "location": location,
        "expected": "a list of words",
        "actual": None,
    } | more


def plain(records, **more):
    return [line.plain for line in report(records, **more)]


def test_an_error_tells_where_what_and_how_to_mend_it():
    assert plain([problem(actual=3)]) == [
        "manifest.json",
        "  ✗ E-02  nodes[3].config  an executor needs a command",
        "          expected a list of words; found 3",
        "          give it one",
    ]


def test_what_was_expected_is_a_choice_in_words():
    lines = plain([problem(expected=["router", "sensor"], actual="ruter")])
    assert lines[2].strip() == "expected one of router, sensor; found ruter"


def test_the_only_choice_is_no_part_of_the_sentence():
    lines = plain([problem(expected=["a"], actual="b")])
    assert lines[2].strip() == "expected 'a'; found b"


def test_of_many_errors_alike_some_are_shown_and_the_rest_is_counted():
    many = [problem("B-08", message=f"{n} is a link") for n in range(700)] + [problem("M-01")]
    lines = plain(many)
    assert sum("B-08" in line for line in lines) == 10
    assert sum("M-01" in line for line in lines) == 1
    assert lines[-1] == "690 more errors like these; mnedge blueprint validate -v shows all"
    assert sum("B-08" in line for line in plain(many, every_warning=True)) == 700


def test_errors_stand_together_by_file():
    other = {"source": "config/default.json", "path": "", "pointer": ""}
    lines = plain([problem(), problem(location=other, expected=None, help=""), problem("M-1")])
    heads = [line for line in lines if not line.startswith(" ")]
    assert heads == ["config/default.json", "manifest.json"]
    assert "  ✗ E-02  an executor needs a command" in lines
    assert any(line.startswith("  ✗ M-1   nodes[3]") for line in lines)


def test_warnings_of_a_rule_share_a_line_unless_all_are_wanted():
    warnings = [problem("C-12", "warning") for _ in range(8)]
    short = plain(warnings)
    assert short[0] == "warnings"
    assert len(short) == 2
    assert short[1].endswith("manifest.json nodes[3].config (and 7 more)")
    lines = plain(warnings, every_warning=True)
    assert len(lines) == 1 + 8 * 2 + 1
    assert [line.strip() for line in lines].count("give it one") == 1


def test_very_many_rules_are_counted():
    lines = plain([problem(f"C-{n:02}", "warning") for n in range(20)])
    assert lines[-1] == "  8 more rules; -v shows every warning"


def test_a_file_that_cannot_be_read_has_a_line_and_a_column():
    location = {"source": "manifest.json", "path": "", "line": 7, "column": 3}
    assert place(problem(location=location)) == "line 7, column 3"
    assert place({}) == ""


def test_totals_are_words():
    assert totals([]) == "no problems"
    assert totals([problem(), problem(), problem(severity="warning")]) == "2 errors, 1 warning"


def test_what_only_matters_for_publishing_shares_a_line():
    warnings = [problem(rule, "warning") for rule in ("B-03", "M-10", "MD-02", "MD-20", "C-12")]
    told = plain(warnings)
    assert "C-12" in told[1]
    assert told[2].startswith("  ! 4 things that published bundles have are missing")
    assert any("MD-20" in line for line in plain(warnings, every_warning=True))
    assert any("M-10" in line for line in plain(warnings[:2]))


def test_places_of_one_file_stand_in_the_order_of_its_lines():
    found = [
        problem(
            location={"source": f"c.yaml:{line}:1", "file": "c.yaml", "line": line, "column": 1}
        )
        for line in (10, 2)
    ]
    assert [line for line in plain(found) if line.startswith("c.yaml")] == [
        "c.yaml:2:1",
        "c.yaml:10:1",
    ]
