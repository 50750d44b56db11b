"""Exit codes and streams of the whole program, without a job."""

import errno
import json

import click
import pytest

import mnedge
from mnedge.cli import docs
from mnedge.cli.main import main
from mnedge.errors import NotAllowedError


@pytest.mark.parametrize("line", ["--version", "-V", "job --version -V"])
def test_the_version_is_one_line(line, capsys):
    code = main(line.split())
    if line.startswith("-"):
        assert (code, capsys.readouterr().out) == (0, f"mnedge {mnedge.__version__}\n")
    else:
        assert code == 2


def test_without_words_the_help_is_shown(capsys):
    assert main([]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("Usage: mnedge")
    assert told.err == ""


def test_an_unknown_verb_is_a_wrong_request_with_a_suggestion(capsys):
    assert main(["jbo", "list"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "did you mean 'job'" in told.err
    assert "see mnedge --help" in told.err


def test_a_wrong_option_is_told_as_json_if_json_was_asked_for(capsys):
    assert main(["job", "list", "--jsno", "--json"]) == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "usage"
    assert "--jsno" in error["message"]


@pytest.mark.parametrize(
    "error,code",
    [
        (NotAllowedError("no"), 13),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (OSError(errno.ENOSPC, "full"), 1),
        (ExceptionGroup("", [ExceptionGroup("", [NotAllowedError("no")])]), 13),
    ],
)
def test_whatever_a_verb_raises_becomes_an_exit_code(error, code, monkeypatch, capsys):
    def broken(*_):
        raise error

    monkeypatch.setattr(docs, "pages", broken)
    assert main(["docs"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_the_manual_goes_raw_to_a_pipe(capsys):
    assert main(["docs", "recovery"]) == 0
    assert capsys.readouterr().out.startswith("# Recovery\n")
    assert main(["docs", "--json"]) == 0
    assert {page["topic"] for page in json.loads(capsys.readouterr().out)} >= {"quickstart"}
    assert main(["docs", "nothing-like-it"]) == 2
