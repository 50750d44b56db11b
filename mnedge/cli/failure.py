"""Errors as a person or a program reads them, and the report of a crash.

Called from `cli/main.py` only.
"""

import errno
import json
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import click

import mnedge
from mnedge.config.read import read_config
from mnedge.errors import MnedgeError

INTERRUPTED = 130
NOT_ALLOWED = 13
REPORTS_KEPT = 50
_ELSEWHERE = "or choose another place with --data-dir"
_OS_HINTS = {
    errno.ENOSPC: "make room on that disk; what was acknowledged is safe",
    errno.EROFS: f"mount it writable, {_ELSEWHERE}",
    errno.EACCES: f"run it as the user who owns that path, {_ELSEWHERE}",
    errno.EPERM: f"run it as the user who owns that path, {_ELSEWHERE}",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
"""Failures of the operating system that a person can mend."""


class Failure(NamedTuple):
    """What went wrong, ready to be shown."""

    code: str
    message: str
    hint: str = ""
    details: Mapping[str, Any] = {}
    exit_code: int = 1
    silent: bool = False
    """Nothing is said: the person knows (Ctrl-C), or nobody listens (a closed pipe)."""
    unexpected: bool = False
    """Nobody foresaw it: the traceback goes into a crash report."""


def report(error: BaseException, arguments: Sequence[str]) -> int:
    """Say on stderr what went wrong, and return the exit code."""
    failure = failure_of(error)
    if failure.unexpected:
        failure = _with_report(failure, write_crash(error, arguments, _crash_folder(arguments)))
    if failure.code == "broken_pipe":
        _go_deaf()
    if not failure.silent:
        text = as_json(failure) if wants_json(arguments) else as_text(failure)
        try:
            click.echo(text, err=True, color=_color(arguments, os.environ))
        except OSError:
            _go_deaf()
    return failure.exit_code


def failure_of(error: BaseException) -> Failure:
    """Return what to say about an error; a group counts as its most telling member."""
    if isinstance(error, BaseExceptionGroup):
        return max(map(failure_of, leaves(error)), key=_weight)
    match error:
        case MnedgeError():
            return Failure(error.code, error.message, error.hint, error.details, error.exit_code)
        case KeyboardInterrupt() | click.Abort():
            return Failure("interrupted", "interrupted", exit_code=INTERRUPTED, silent=True)
        case click.ClickException():
            return _usage(error)
        case BrokenPipeError():
            return Failure("broken_pipe", "nobody reads the output", silent=True)
        case SystemExit():
            return _exit(error)
        case OSError() if error.errno in _OS_HINTS:
            return _os_failure(error, error.errno)
        case _:
            said = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
            return Failure("unexpected", f"this should not happen: {said}", unexpected=True)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the errors inside a group, however deep."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def as_text(failure: Failure) -> str:
    """Return the lines a person reads, styled."""
    mark = click.style("✗", fg="red", bold=True)
    problems = failure.details.get("problems")
    if isinstance(problems, list) and problems:
        headline = failure.message.partition(f": {problems[0]['rule']} ")[0]
        return f"{mark} {headline}\n\n{_listed(problems)}"
    text = f"{mark} {_visible(failure.message)}"
    hint = click.style(f"  {_visible(failure.hint)}", dim=True)
    return f"{text}\n{hint}" if failure.hint else text


def as_json(failure: Failure) -> str:
    """Return the object a program reads."""
    shown = {
        "code": failure.code,
        "message": failure.message,
        "hint": failure.hint,
        "details": dict(failure.details),
    }
    return json.dumps({"error": shown}, ensure_ascii=False, default=str)


def wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether the command line asked for JSON, even if it cannot be understood."""
    asked = [*_values_of(arguments, "--output"), *_values_of(arguments, "-o")]
    return "--json" in arguments or any(value in ("json", "ndjson") for value in asked)


def write_crash(error: BaseException, arguments: Sequence[str], folder: Path) -> Path | None:
    """Keep the traceback in a new file; None if no place can be written."""
    lines = [
        f"mnedge {mnedge.__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"command: mnedge {' '.join(_without_values(arguments))}",
        "",
        *traceback.format_exception(error),
    ]
    for place in (folder, Path(tempfile.gettempdir())):
        try:
            place.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(".txt", "mnedge-crash-", place)
            with open(number, "w", encoding="utf-8") as file:
                file.write("\n".join(lines))
        except OSError:
            continue
        if place == folder:
            _forget_old(folder)
        return Path(name)
    return None


def _forget_old(folder: Path) -> None:
    """Keep the newest reports: a service that crashes at every start must not fill the disk."""
    with suppress(OSError):
        found = sorted(folder.glob("mnedge-crash-*.txt"), key=lambda file: file.stat().st_mtime)
        for old in found[:-REPORTS_KEPT]:
            old.unlink()


def _with_report(failure: Failure, place: Path | None) -> Failure:
    if place is None:
        return failure._replace(hint="no place could be found for the details")
    hint = f"the details are in {place}; please send them with a bug report"
    return failure._replace(hint=hint, details={"crash_report": str(place)})


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    from mnedge.cli.show import visible

    return visible(text)


def _listed(problems: list[Mapping[str, Any]]) -> str:
    from rich.console import Console

    from mnedge.cli.problems import report as problem_lines
    from mnedge.cli.show import harmless

    console = Console(force_terminal=True, color_system="standard", highlight=False, markup=False)
    with console.capture() as kept:
        for line in problem_lines(problems):
            console.print(harmless(line), soft_wrap=True)
    return kept.get().rstrip("\n")


def _without_values(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command line without the values of options, which may be secrets."""
    hidden = False
    for word in arguments:
        if hidden and not word.startswith("-"):
            yield "…"
        else:
            yield word.partition("=")[0] + ("=…" if "=" in word else "")
        hidden = word.startswith("-") and "=" not in word


def _values_of(arguments: Sequence[str], option: str) -> Iterator[str]:
    for word, value in pairwise([*arguments, ""]):
        if word == option:
            yield value
        elif word.startswith(option + "=") or (len(option) == 2 and word.startswith(option)):
            yield word.removeprefix(option).removeprefix("=")


def _crash_folder(arguments: Sequence[str]) -> Path:
    named = list(_values_of(arguments, "--data-dir"))
    try:
        folder = read_config(os.environ, data_dir=named[-1] if named else None).data_dir
    except MnedgeError:
        return Path(tempfile.gettempdir())
    return folder / "crashes"


def _color(arguments: Sequence[str], environ: Mapping[str, str]) -> bool | None:
    if "--color" in arguments:
        return True
    return False if "--no-color" in arguments or environ.get("NO_COLOR") else None


def _weight(failure: Failure) -> int:
    """Rank the members of a group: what a person did, known errors, then their consequences."""
    if failure.exit_code == INTERRUPTED:
        return 3
    if failure.silent:
        return 0
    return 1 if failure.unexpected else 2


def _usage(error: click.ClickException) -> Failure:
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"see {error.ctx.command_path} --help"
    message = error.format_message().rstrip(".")
    return Failure("usage", message[:1].lower() + message[1:], hint, exit_code=2)


def _exit(error: SystemExit) -> Failure:
    if isinstance(error.code, str):
        message, _, hint = error.code.partition("\n")
        return Failure("usage", message, hint, exit_code=2)
    return Failure("exit", "", exit_code=int(error.code or 0), silent=True)


def _os_failure(error: OSError, number: int) -> Failure:
    said = (error.strerror or str(error)).lower()
    return Failure(
        f"os.{errno.errorcode[number].lower()}",
        f"{error.filename}: {said}" if error.filename else said,
        _OS_HINTS[number],
        {"path": str(error.filename)} if error.filename else {},
        NOT_ALLOWED if number in (errno.EACCES, errno.EPERM) else 1,
    )


def _go_deaf() -> None:
    """Let the interpreter's last flush go nowhere instead of complaining."""
    hole = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(hole, stream.fileno())
        except (OSError, ValueError):
            continue
