"""One thing that is wrong with a bundle: where, what was expected, how to mend it."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from msgspec import Struct

from mnedge.errors import UsageError

At = tuple[str | int, ...]
"""Where in a JSON document: keys and list positions, outermost first."""


class Severity(StrEnum):
    """What a problem does: an error refuses the bundle, a warning is only told."""

    ERROR = "error"
    WARNING = "warning"


class Problem(Struct, frozen=True, kw_only=True):
    """One finding of one rule."""

    rule: str
    """Id in `docs rules`: `E-02`."""
    code: str
    """`<group>.<slug>`, stable: `graph.unknown_entrypoint`."""
    severity: Severity
    message: str
    help: str = ""
    file: str = "manifest.json"
    at: At = ()
    expected: Any = None
    actual: Any = None
    line: int | None = None
    column: int | None = None
    strict: bool = False
    """A warning here, an error in the `strict` profile (or an error only because of it)."""

    @property
    def pointer(self) -> str:
        """JSON pointer of the place: `/nodes/3/config`."""
        return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in self.at)

    @property
    def path(self) -> str:
        """The place as people write it: `nodes[3].config`."""
        return dotted(self.at)

    def record(self) -> dict[str, Any]:
        """Return the problem as JSON for machines.

        Source: bundle format 8.1.
        """
        location: dict[str, Any] = {"source": self.file, "path": self.path, "pointer": self.pointer}
        if self.line is not None:
            location |= {"line": self.line, "column": self.column}
        return {
            "code": self.code,
            "rule": self.rule,
            "severity": self.severity.value,
            "message": self.message,
            "help": self.help,
            "location": location,
            "expected": self.expected,
            "actual": self.actual,
        }

    def __str__(self) -> str:
        place = self.file
        if self.line is not None:
            place += f":{self.line}:{self.column}"
        if self.at:
            place += f" {self.path}"
        return f"{self.rule} {place}: {self.message}"


def dotted(at: At) -> str:
    """Return `nodes[3].config` for `("nodes", 3, "config")`."""
    text = ""
    for step in at:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step and not set(step) & set(".[]\"' "):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


class BundleInvalidError(UsageError):
    """A bundle cannot be used as it is. `details["problems"]` lists every problem."""

    code = "bundle.invalid"


def invalid(label: str, problems: Iterable[Problem]) -> BundleInvalidError:
    """Return the error that lists these problems."""
    listed = list(problems)
    warnings = sum(problem.severity != "error" for problem in listed)
    numbers = ((len(listed) - warnings, "error"), (warnings, "warning"))
    count = ", ".join(f"{n} {word}" + ("s" if n != 1 else "") for n, word in numbers if n)
    first = f": {listed[0]}" if listed else ""
    return BundleInvalidError(
        f"Job bundle at '{label}' is not valid: {count}{first}",
        hint=listed[0].help if listed else "",
        details={"problems": [problem.record() for problem in listed]},
    )
