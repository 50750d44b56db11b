"""Errors become words: one place, every kind, no traceback on the terminal."""

import errno
import json
import os

import click
import pytest

from mnedge.cli import failure
from mnedge.errors import NotAllowedError, UnavailableError, UsageError


def of(error):
    return failure.failure_of(error)


def test_an_error_of_ours_keeps_its_code_hint_details_and_exit_code():
    found = of(NotAllowedError("no", hint="ask the owner", details={"who": "you"}))
    assert found == failure.Failure("not_allowed", "no", "ask the owner", {"who": "you"}, 13)


def test_a_wrong_command_line_points_at_the_help():
    ctx = click.Context(click.Command("run"), info_name="mnedge")
    found = of(click.NoSuchOption("--fast", ctx=ctx))
    assert found.exit_code == 2
    assert found.message.startswith("no such option")
    assert found.hint == "see mnedge --help"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_needs_no_words(error):
    assert of(error).silent
    assert of(error).exit_code == 130


@pytest.mark.parametrize(
    "number,code,exit_code",
    [(errno.ENOSPC, "os.enospc", 1), (errno.EACCES, "os.eacces", 13), (errno.EROFS, "os.erofs", 1)],
)
def test_what_the_system_refuses_is_explained(number, code, exit_code):
    found = of(OSError(number, "It Refuses", "/some/file"))
    assert (found.code, found.exit_code) == (code, exit_code)
    assert found.message == "/some/file: it refuses"
    assert found.hint
    assert not found.unexpected


def test_what_nobody_foresaw_is_said_in_one_line():
    found = of(ValueError("first\nsecond"))
    assert found.unexpected
    assert found.message == "this should not happen: ValueError: first"


def test_a_group_counts_as_its_most_telling_member():
    consequence = RuntimeError("broken")
    cause = UnavailableError("the disk is full")
    group = BaseExceptionGroup("", [consequence, ExceptionGroup("", [cause])])
    assert of(group).message == "the disk is full"
    assert of(BaseExceptionGroup("", [group, KeyboardInterrupt()])).exit_code == 130
    assert of(ExceptionGroup("", [consequence, BrokenPipeError()])).unexpected


def test_an_exit_with_words_is_a_wrong_request():
    assert of(SystemExit("bad\nmend it")) == failure.Failure("usage", "bad", "mend it", exit_code=2)
    assert of(SystemExit(3)).exit_code == 3
    assert of(SystemExit()).silent


@pytest.mark.parametrize(
    "line,wanted",
    [
        ("job list --json", True),
        ("job list -o json", True),
        ("job list --output=ndjson", True),
        ("-ojson job list", True),
        ("job list --output human", False),
        ("blueprint run json", False),
    ],
)
def test_json_is_noticed_even_in_a_line_that_cannot_be_parsed(line, wanted):
    assert failure.wants_json(line.split()) is wanted


def test_a_program_reads_one_object(capsys):
    code = failure.report(UsageError("no", hint="do", details={"n": 1}), ["x", "--json"])
    told = capsys.readouterr()
    assert code == 2
    assert told.out == ""
    assert json.loads(told.err) == {
        "error": {"code": "usage", "message": "no", "hint": "do", "details": {"n": 1}}
    }


def test_a_person_reads_the_message_and_the_hint(capsys):
    assert failure.report(UsageError("no", hint="do this"), []) == 2
    assert capsys.readouterr().err == "✗ no\n  do this\n"


def test_what_would_steer_a_terminal_is_shown_and_not_done(capsys):
    failure.report(UsageError("no \x1b[2J", hint="try \x9b31m"), [])
    assert capsys.readouterr().err == "✗ no ␛[2J\n  try �31m\n"


def test_problems_inside_an_error_are_listed(capsys):
    problem = {
        "rule": "E-02",
        "severity": "error",
        "message": "names no agent",
        "help": "name one",
        "location": {"source": "manifest.json", "path": "entrypoints[0]", "pointer": ""},
        "expected": "an agent",
        "actual": "ghost",
    }
    error = UsageError("Job bundle is not valid: 1 problem", details={"problems": [problem]})
    failure.report(error, [])
    told = capsys.readouterr().err
    assert "✗ Job bundle is not valid: 1 problem" in told
    assert "E-02  entrypoints[0]  names no agent" in told
    assert "expected an agent; found ghost" in told


def test_a_crash_is_kept_in_a_file_and_never_shown(tmp_path, capsys):
    try:
        raise ValueError("deep inside")
    except ValueError as error:
        arguments = ["blueprint", "run", "x", "--input", "password=hunter2", "--data-dir"]
        code = failure.report(error, [*arguments, str(tmp_path)])
    told = capsys.readouterr().err
    (file,) = (tmp_path / "crashes").iterdir()
    text = file.read_text()
    assert code == 1
    assert "Traceback" not in told
    assert str(file) in told
    assert "Traceback" in text
    assert "deep inside" in text
    assert "blueprint run x --input …" in text
    assert "hunter2" not in text


def test_a_crash_finds_another_place_if_the_data_directory_cannot_be_written(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = failure.write_crash(ValueError("x"), [], blocked / "crashes")
    assert place is not None
    assert place.parent == tmp_path
    monkeypatch.setattr("tempfile.tempdir", str(blocked))
    assert failure.write_crash(ValueError("x"), [], blocked / "crashes") is None


def test_a_service_that_crashes_at_every_start_does_not_fill_the_disk(tmp_path):
    for number in range(failure.REPORTS_KEPT + 3):
        place = failure.write_crash(ValueError(str(number)), [], tmp_path)
        os.utime(place, (number, number))
    kept = list(tmp_path.iterdir())
    assert len(kept) == failure.REPORTS_KEPT
    assert place in kept


def test_a_closed_pipe_is_not_worth_a_word(capfd):
    assert of(BrokenPipeError(errno.EPIPE, "x")).silent
