"""Whether an expansion says everything."""

from mnedge.bundle.source.outcome import Expanded, SourceProblem


def test_it_is_complete_if_nothing_is_wrong_and_nothing_was_left_out():
    warning = SourceProblem(rule="S-05", at=(), message="m", hint="h", severity="W")
    error = SourceProblem(rule="S-03", at=(), message="m", hint="h")
    assert Expanded(manifest={"a": 1}, problems=[warning]).complete
    assert not Expanded(manifest={"a": 1}, problems=[error]).complete
    assert not Expanded(manifest={"a": 1}, unchecked=["steps.one"]).complete
    assert not Expanded().complete
