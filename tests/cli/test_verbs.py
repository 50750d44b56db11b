"""The shared options, lazy nouns, and words that nobody knows."""

import click
import pytest
from click.testing import CliRunner

from mnedge.cli.verbs import Asked, LazyNoun, NoSuchVerbError, Noun, near


@pytest.fixture
def tool():
    @click.group("tool", cls=Noun)
    def tool():
        """A tool."""

    @tool.command("tell")
    @click.option("--loud", is_flag=True, help="Shout.")
    @click.pass_obj
    def tell(asked, loud):
        """Tell what was asked."""
        del loud
        click.echo(asked)

    return tool


def told(tool, line):
    answer = CliRunner().invoke(tool, line.split(), catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output.strip()


def test_without_options_a_person_asks(tool):
    assert told(tool, "tell") == str(Asked())
    assert Asked().human


@pytest.mark.parametrize("line", ["--output ndjson tell", "tell --output ndjson", "tell -o ndjson"])
def test_shared_options_stand_before_or_after_the_verb(tool, line):
    assert told(tool, line) == str(Asked(output="ndjson"))


def test_the_last_word_wins(tool):
    asked = Asked(output="json", data_dir="b", color=False, verbose=True)
    line = "--data-dir a --color -o human tell --json --data-dir b --no-color -v"
    assert told(tool, line) == str(asked)


def test_help_shows_the_own_options_first(tool):
    shown = told(tool, "tell -h")
    assert shown.index("--loud") < shown.index("Shared options:") < shown.index("--data-dir")
    assert "Commands:" in told(tool, "--help")


def test_an_unknown_verb_is_answered_with_near_ones(tool):
    ctx = tool.make_context("tool", ["tel"])
    with pytest.raises(NoSuchVerbError, match="tool has no verb 'tel'; did you mean 'tell'"):
        tool.invoke(ctx)


def test_a_lazy_noun_lists_its_children_without_importing_them():
    lazy = LazyNoun("top", children={"gone": ("no.such.module:gone", "It is not there.")})
    assert "It is not there." in told(lazy, "--help")
    with pytest.raises(ModuleNotFoundError):
        CliRunner().invoke(lazy, ["gone"], catch_exceptions=False)


def test_a_lazy_noun_imports_the_child_that_is_used():
    lazy = LazyNoun("top", children={"docs": ("mnedge.cli.docs:docs", "Read.")})
    assert "TOPIC" in told(lazy, "docs --help")


def test_near_words_are_few():
    assert near("staus", ["status", "start", "stop"])[0] == "status"
    assert near("zzz", ["status"]) == []
