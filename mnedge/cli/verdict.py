"""Findings of `doctor`, as people and programs read them. Pure."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from rich.text import Text

from mnedge.cli.show import BAD, GOOD, NOTE, Cell, columns, counted

MARKS = {
    "ok": (GOOD, "green"),
    "absent": ("·", "dim"),
    "warning": (NOTE, "bold yellow"),
    "broken": (BAD, "bold red"),
}


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    group: str
    name: str
    status: str
    """`ok`, `absent` (nothing is lost), `warning`, or `broken` (mnedge cannot do without)."""
    found: str
    mend: str = ""


def ok(group: str, name: str, found: str) -> Finding:
    """Return that it is as it should be."""
    return Finding(group=group, name=name, status="ok", found=found)


def absent(group: str, name: str, found: str) -> Finding:
    """Return that it is not there, and nothing is lost."""
    return Finding(group=group, name=name, status="absent", found=found)


def warning(group: str, name: str, found: str, mend: str) -> Finding:
    """Return that something else works less well."""
    return Finding(group=group, name=name, status="warning", found=found, mend=mend)


def broken(group: str, name: str, found: str, mend: str) -> Finding:
    """Return that it cannot stay so."""
    return Finding(group=group, name=name, status="broken", found=found, mend=mend)


def lines(findings: Sequence[Finding]) -> list[Text]:
    """Return the findings by group, then the verdict."""
    width = max((len(finding.name) for finding in findings), default=0)
    told: list[Text] = []
    for group in dict.fromkeys(finding.group for finding in findings):
        told += [Text(group, "bold")]
        for finding in findings:
            if finding.group == group:
                told += _finding(finding, width)
        told.append(Text())
    return [*told, verdict(findings)]


def verdict(findings: Sequence[Finding]) -> Text:
    """Return one line: all well, or how much is not."""
    statuses = [finding.status for finding in findings]
    broken, warnings = statuses.count("broken"), statuses.count("warning")
    parts = []
    if broken:
        parts.append(f"{broken} broken")
    if warnings:
        parts.append(counted(warnings, "warning"))
    if not parts:
        return Text.assemble((GOOD, "bold green"), " everything that mnedge needs is here")
    mark, style = MARKS["broken" if broken else "warning"]
    return Text.assemble((mark, style), " ", ", ".join(parts))


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings for programs."""
    return {
        "healthy": all(finding.status != "broken" for finding in findings),
        "findings": list(findings),
    }


def _finding(finding: Finding, width: int) -> list[Text]:
    dim = "dim" if finding.status == "absent" else ""
    mark = Cell(MARKS[finding.status][0], MARKS[finding.status][1])
    row = [Cell(" "), mark, Cell(finding.name.ljust(width + 1), dim), Cell(finding.found, dim)]
    told = columns([row], gap=1)
    if finding.mend:
        told.append(Text(" " * (width + 6) + finding.mend, "dim"))
    return told
