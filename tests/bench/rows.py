"""One figure beside its floor, and how a list of them is printed."""

from collections.abc import Iterable
from typing import NamedTuple

HEAD = ("name", "value", "floor", "ratio", "budget")


class Row(NamedTuple):
    """A figure of ours; `floor` was measured in the same run with the plainest code there is."""

    name: str
    value: float
    unit: str = ""
    floor: float | None = None
    budget_ratio: float | None = None
    """Least value / floor, or the greatest if less is better."""
    budget: float | None = None
    """Least value, or the greatest if less is better."""
    less_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Return value / floor."""
        return self.value / self.floor if self.floor else None

    @property
    def kept(self) -> bool | None:
        """Tell whether the budget is kept; None if there is none."""
        pairs = ((self.ratio, self.budget_ratio), (self.value, self.budget))
        told = [
            found <= wanted if self.less_is_better else found >= wanted
            for found, wanted in pairs
            if found is not None and wanted is not None
        ]
        return all(told) if told else None

    def cells(self) -> tuple[str, ...]:
        """Return what the table shows."""
        sign = "≤" if self.less_is_better else "≥"
        budgets = []
        if self.budget is not None:
            budgets.append(f"{sign} {shown(self.budget)} {self.unit}".strip())
        if self.budget_ratio is not None:
            budgets.append(f"{sign} {self.budget_ratio:.0%}")
        verdict = {None: "", True: " kept", False: " MISSED"}[self.kept]
        return (
            f"{self.name}{f' ({self.note})' if self.note else ''}",
            f"{shown(self.value)} {self.unit}".strip(),
            "" if self.floor is None else f"{shown(self.floor)} {self.unit}".strip(),
            "" if self.ratio is None else f"{self.ratio:.0%}",
            " and ".join(budgets) + verdict,
        )


def shown(value: float) -> str:
    """Return the number as a person reads it."""
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:.2f} M"
    if abs(value) >= 10_000:
        return f"{value / 1_000:.1f} k"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def table(rows: Iterable[Row]) -> str:
    """Return all rows as text, in columns."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
