import pytest

from mnedge.config.document import MOST_BYTES, UnreadableError, parsed
from mnedge.config.fitting import plain


def test_every_value_knows_its_place():
    document, problems = parsed("a: 1\nb:\n  - x\n  - {c: yes}\n", "f")
    assert problems == []
    assert plain(document) == {"a": 1, "b": ["x", {"c": True}]}
    keyed = document.value["b"]
    assert (keyed.line, keyed.column) == (2, 1)
    assert (keyed.member.value[1].value["c"].member.line) == 4


def test_an_empty_text_is_no_document():
    assert parsed("# nothing\n", "f") == (None, [])


def test_a_key_that_stands_twice_is_told_with_both_places():
    _, [problem] = parsed("a: {b: 1,\n  b: 2}\n", "f")
    assert (problem.rule, problem.path, problem.line) == ("CFG-E02", "a.b", 2)
    assert "line 1" in problem.message


@pytest.mark.parametrize(
    "text, line",
    [
        ("a: [1\nb: 2\n", 2),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: *nowhere\n", 1),
        ("a: 'x\n", 2),
        ("a: !!python/object:os.system x\n", 1),
        ("[" * 100_000, 1),
        ("a: \x07\n", 0),
        ("x" * (MOST_BYTES + 1), 0),
    ],
)
def test_what_is_no_yaml_says_where(text, line):
    with pytest.raises(UnreadableError) as caught:
        parsed(text, "f")
    assert caught.value.problem.rule == "CFG-E01"
    assert caught.value.problem.line == line


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "a: &a [x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n"
            for before, name in zip("abcdef", "bcdefg", strict=True)
        ),
    ],
)
def test_aliases_have_bounds(text):
    with pytest.raises(UnreadableError):
        parsed(text, "f")


def test_merge_keys_are_not_followed():
    _, [problem] = parsed("a: &a {x: 1}\nb: {<<: *a}\n", "f")
    assert (problem.rule, problem.path) == ("CFG-E04", "b")
