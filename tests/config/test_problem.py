from mnedge.config.problem import ConfigInvalidError, Problem

ERROR = Problem(
    rule="CFG-E03", message="nobody knows this key", path="a.b", source="/c.yaml", line=3, column=5
)
NOTE = Problem(rule="CFG-I01", message="read by the Helm chart only", path="relay.replicas")


def test_the_rule_says_how_bad_it_is():
    assert [ERROR.severity, NOTE.severity] == ["error", "note"]
    assert Problem(rule="CFG-W01", message="m").severity == "warning"


def test_the_place_is_what_editors_jump_to():
    assert ERROR.place == "/c.yaml:3:5"
    assert NOTE.place == ""


def test_a_record_has_the_shape_of_findings_about_bundles():
    record = ERROR.record()
    assert record["location"] == {
        "source": "/c.yaml:3:5",
        "path": "a.b",
        "line": 3,
        "column": 5,
        "file": "/c.yaml",
    }
    assert {"rule", "severity", "message", "expected", "help"} < record.keys()


def test_the_error_names_the_first_and_carries_all_errors():
    error = ConfigInvalidError([NOTE, ERROR, ERROR])
    assert "2 errors, at /c.yaml:3:5: CFG-E03 a.b: nobody knows this key" in error.message
    assert len(error.details["problems"]) == 2
    assert error.problems == (NOTE, ERROR, ERROR)
    assert error.exit_code == 2
