"""Where output goes."""

import io
import json

import pytest
from rich.text import Text

from mnedge.cli.screen import Screen
from mnedge.cli.verbs import Asked


class Terminal(io.StringIO):
    def isatty(self):
        return True


def printed(asked, act, stream=None):
    stream = io.StringIO() if stream is None else stream
    act(Screen(asked, stream))
    return stream.getvalue()


def test_a_pipe_gets_plain_text_that_is_never_cut():
    line = "word " * 100
    assert printed(Asked(), lambda screen: screen.good(line)) == f"✓ {line}\n"


def test_a_program_is_spared_what_people_are_told():
    def act(screen):
        screen.good("done")
        screen.note("careful")
        screen.hint("next")
        screen.document({"a": 1})

    assert json.loads(printed(Asked(output="json"), act)) == {"a": 1}


@pytest.mark.parametrize(
    "output,lines", [("ndjson", ["1", "2"]), ("json", ["[", "  1,", "  2", "]"])]
)
def test_many_values_are_a_list_or_lines(output, lines):
    told = printed(Asked(output=output), lambda screen: screen.records(iter([1, 2])))
    assert told.splitlines() == lines


def test_colours_follow_the_terminal_unless_somebody_says_otherwise(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def act(screen):
        screen.good("x")

    assert "\x1b" in printed(Asked(), act, Terminal())
    assert "\x1b" not in printed(Asked(), act)
    assert "\x1b" in printed(Asked(color=True), act)
    assert "\x1b" not in printed(Asked(color=False), act, Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in printed(Asked(), act, Terminal())


def test_a_picture_needs_a_person_at_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert Screen(Asked(), Terminal()).live
    assert not Screen(Asked(), io.StringIO()).live
    assert not Screen(Asked(output="json"), Terminal()).live
    monkeypatch.setenv("TERM", "dumb")
    assert not Screen(Asked(), Terminal()).live


def test_only_a_terminal_has_a_width():
    assert Screen(Asked(), io.StringIO()).width is None
    assert Screen(Asked(), Terminal()).width


def test_square_brackets_are_text():
    assert printed(Asked(), lambda screen: screen.say("nodes[3] :smile: [red]")) == (
        "nodes[3] :smile: [red]\n"
    )


def test_what_would_steer_a_terminal_is_shown_and_not_done():
    said = "a\x1b[2Jb\x9b31m\u202ec\x7f"
    told = printed(Asked(), lambda screen: screen.say(said, Text(said, "red")))
    assert told == "a␛[2Jb�31m�c␡\n" * 2
