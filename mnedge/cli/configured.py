"""Settings and what is wrong with them, as `mnedge config` tells people."""

import json
from collections.abc import Sequence

from rich.text import Text

from mnedge.cli.screen import Screen
from mnedge.cli.show import BAD, NOTE, Cell, columns, counted
from mnedge.config.problem import Problem
from mnedge.config.read import Loaded
from mnedge.config.shown import leaves, shown

_INDENT = " " * 13


def tell_problems(screen: Screen, problems: Sequence[Problem], checked: str | None) -> None:
    """Print every problem under its place, then the verdict; `checked`: the file, if there is."""
    for problem in problems:
        mark, style = (BAD, "bold red") if problem.severity == "error" else (NOTE, "bold yellow")
        gap = "  " if problem.path else ""
        screen.say(
            Text(problem.place, "bold"),
            Text.assemble("  ", (mark, style), " ", (problem.rule, "dim"), "  ")
            + Text.assemble((problem.path, "cyan"), gap, problem.message),
        )
        if problem.expected:
            screen.say(Text(f"{_INDENT}expected {problem.expected}", "dim"))
        if problem.hint:
            screen.say(Text(f"{_INDENT}{problem.hint}", "dim"))
    if problems:
        screen.say("")
    errors = sum(problem.severity == "error" for problem in problems)
    if errors:
        screen.mark(BAD, "bold red", counted(errors, "error"))
    elif checked is None:
        screen.good("there is no configuration file; defaults and environment are good")
    else:
        screen.good(f"{checked} is good")


def tell_values(screen: Screen, loaded: Loaded, *, origin: bool) -> None:
    """Print every setting with its value, and where it comes from if that is wanted."""
    screen.say(Text(f"file: {loaded.config.file or 'none'}", "dim"))
    rows = []
    for path, value in leaves(shown(loaded.config)):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        source, where = loaded.origin(path)
        told = [Cell(f"{source} {where}".strip(), "dim")] if origin else []
        rows.append([Cell(path, "cyan"), *told, Cell("-" if value is None else text)])
    screen.say(*columns(rows))
