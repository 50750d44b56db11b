"""What the expansion of an authoring source comes to."""

from typing import Any

from msgspec import Struct, field

from mnedge.bundle.problem import At
from mnedge.bundle.subject import JsonObject

ERROR = "E"
WARNING = "W"


class SourceProblem(Struct, frozen=True, kw_only=True):
    """One place in the source that breaks a rule."""

    rule: str
    """`S-01` to `S-09`, `S-20`."""
    at: At
    message: str
    hint: str
    severity: str = ERROR
    """`E` or `W`, as rules declare it."""
    expected: Any = None
    actual: Any = None


class Expanded(Struct, frozen=True, kw_only=True):
    """A source, expanded."""

    manifest: JsonObject = field(default_factory=dict)
    """A manifest of generation C; empty if the source cannot be expanded at all."""
    problems: list[SourceProblem] = field(default_factory=list)
    config: JsonObject = field(default_factory=dict)
    """The default config with what the manifest lends it below; what lies above comes on top."""
    unchecked: list[str] = field(default_factory=list)
    """Step definitions that were not loaded; their steps have no agents inside yet."""

    @property
    def complete(self) -> bool:
        """Tell whether the manifest says all that the source says."""
        broken = any(problem.severity == ERROR for problem in self.problems)
        return bool(self.manifest) and not broken and not self.unchecked
