"""What is wrong with a configuration, or worth knowing about it. Pure."""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from mnedge.errors import UsageError

Rule = Literal[
    "CFG-E01",  # the file cannot be read, or is not YAML
    "CFG-E02",  # a key stands there twice
    "CFG-E03",  # a key that nobody knows
    "CFG-E04",  # a value of the wrong kind
    "CFG-E05",  # a value that makes no sense beside the others
    "CFG-W01",  # a secret stands in the file itself
    "CFG-W02",  # allowed, and probably not meant
    "CFG-I01",  # read by the Helm chart only
]
SEVERITIES = {"E": "error", "W": "warning", "I": "note"}


class Problem(Struct, frozen=True, kw_only=True):
    """One thing to say about a configuration; `line` and `column` begin at 1, 0 is unknown."""

    rule: Rule
    message: str
    path: str = ""
    """`relay.adapters[0].baseUrl`; empty: the file as a whole."""
    source: str = ""
    """The file, or the option of the command line."""
    line: int = 0
    column: int = 0
    expected: str = ""
    hint: str = ""

    @property
    def severity(self) -> str:
        """`error`, `warning` or `note`."""
        return SEVERITIES[self.rule[4]]

    @property
    def place(self) -> str:
        """Return `FILE:LINE:COLUMN`, as editors understand it."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source

    def record(self) -> dict[str, Any]:
        """Return what programs read; the shape of findings about bundles."""
        location: dict[str, Any] = {"source": self.place, "path": self.path}
        if self.line:
            location |= {"line": self.line, "column": self.column, "file": self.source}
        return {
            "rule": self.rule,
            "severity": self.severity,
            "message": self.message,
            "location": location,
            "expected": self.expected or None,
            "help": self.hint or None,
        }


class ConfigInvalidError(UsageError):
    """The configuration has errors; `details.problems` lists all of them with their places."""

    code = "config.file_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        errors = [problem for problem in problems if problem.severity == "error"]
        first = errors[0]
        count = "an error" if len(errors) == 1 else f"{len(errors)} errors"
        said = (
            f"{first.rule} {first.path}: {first.message}"
            if first.path
            else (f"{first.rule} {first.message}")
        )
        super().__init__(
            f"the configuration has {count}, at {first.place}: {said}",
            hint=first.hint or "`mnedge config check` shows all of them",
            details={"problems": [problem.record() for problem in errors]},
        )
        self.problems = tuple(problems)
