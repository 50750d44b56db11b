"""The configuration file: text → settings, with the place of every value."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from mnedge.config.document import Marked, UnreadableError, parsed
from mnedge.config.fitting import fitted
from mnedge.config.problem import Problem
from mnedge.config.settings import FileSettings


class Held(Struct, frozen=True, kw_only=True):
    """What a file holds; whatever does not fit is left out and told."""

    settings: FileSettings
    places: Mapping[str, Marked]
    problems: tuple[Problem, ...] = ()


def read_file(path: Path) -> Held:
    """Return what the file holds, and every problem with it."""
    source = str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _nothing(Problem(rule="CFG-E01", message=f"is not UTF-8: {error}", source=source))
    except OSError as error:
        why = error.strerror or str(error)
        mend = (
            f"let the node read it: chgrp mnedge {path}; chmod 640 {path}"
            if isinstance(error, PermissionError)
            else ""
        )
        return _nothing(
            Problem(rule="CFG-E01", message=f"cannot be read: {why}", source=source, hint=mend)
        )
    return read_text(text, source)


def read_text(text: str, source: str) -> Held:
    """Return what the text holds; `source` is how it is called in problems."""
    try:
        document, problems = parsed(text, source)
    except UnreadableError as error:
        return _nothing(error.problem)
    if document is None:
        return Held(settings=FileSettings(), places={})
    values, places, misfits = fitted(document, source)
    found = sorted((*problems, *misfits), key=lambda problem: (problem.line, problem.column))
    settings = msgspec.convert(values, FileSettings)
    folders = [
        Problem(
            rule="CFG-E05",
            message=f"{folder!r} is not absolute",
            path=name,
            source=source,
            line=places[name].line,
            column=places[name].column,
            expected="a full path, or one that begins with ~",
        )
        for name, folder in (("data_dir", settings.data_dir), ("runs_root", settings.runs_root))
        if folder is not None and not Path(folder).expanduser().is_absolute()
    ]
    return Held(settings=settings, places=places, problems=(*found, *folders))


def _nothing(problem: Problem) -> Held:
    return Held(settings=FileSettings(), places={}, problems=(problem,))
