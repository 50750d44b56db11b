"""What is wrong with a plugin from outside, all of it told at once."""

from collections.abc import Sequence

from msgspec import Struct

from mnedge.errors import UsageError


class Problem(Struct, frozen=True, kw_only=True):
    """One thing that is wrong, and how to mend it."""

    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class PluginRefusedError(UsageError):
    """A plugin cannot be installed or removed as asked; nothing was changed."""

    code = "plugin.refused"

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        lines = "".join(f"\n  - {problem.message}" for problem in problems)
        hints = "; ".join(dict.fromkeys(problem.hint for problem in problems if problem.hint))
        super().__init__(
            f"{what}:{lines}" if len(problems) > 1 else f"{what}: {problems[0].message}",
            hint=hints,
            details={"reasons": [{"message": p.message, "hint": p.hint} for p in problems]},
        )
        self.reasons = tuple(problems)


def refused(what: str, problems: Sequence[Problem]) -> PluginRefusedError:
    """Return the error that says of a wheel, folder or distribution why it is not taken."""
    return PluginRefusedError(f"{what} is refused", problems)
