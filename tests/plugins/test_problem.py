from mnedge.plugins.problem import PluginRefusedError, Problem


def test_everything_is_told_at_once_and_each_hint_once():
    found = [
        Problem(message="a", hint="mend"),
        Problem(message="b", hint="mend"),
        Problem(message="c"),
    ]
    error = PluginRefusedError("acme 1.0 cannot be installed", found)
    assert error.message == "acme 1.0 cannot be installed:\n  - a\n  - b\n  - c"
    assert error.hint == "mend"
    assert [reason["message"] for reason in error.details["reasons"]] == ["a", "b", "c"]
    assert PluginRefusedError("acme", found[:1]).message == "acme: a"


def test_a_problem_is_a_line():
    assert str(Problem(message="a", hint="b")) == "a (b)"
    assert str(Problem(message="a")) == "a"
