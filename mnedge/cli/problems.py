"""Findings of the validator as people read them: grouped by file, warnings in short.

Pure. Takes the records of bundle format 8.1, so it shows those inside an error's details as well.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.text import Text

from mnedge.cli.show import BAD, NOTE, counted, one_line

Record = Mapping[str, Any]

MOST_IN_SHORT = 12
MOST_ALIKE = 10
"""Errors of one rule."""
VALUE_WIDTH = 100
FOLD_FROM = 4
"""So many warnings that matter for publishing only share a line."""
_PUBLISHING = ("M-1", "MD-")
_PUBLISHING_RULES = frozenset({"B-03", "N-15"})


def report(records: Sequence[Record], *, every_warning: bool = False) -> list[Text]:
    """Return the lines: errors, then warnings; of many alike only some, unless all are wanted."""
    errors = [record for record in records if record["severity"] == "error"]
    warnings = [record for record in records if record["severity"] != "error"]
    shown = errors if every_warning else list(_some_of_each(errors))
    lines = list(_in_full(shown))
    if len(shown) < len(errors):
        more = counted(len(errors) - len(shown), "more error")
        lines.append(Text(f"{more} like these; mnedge blueprint validate -v shows all", "dim"))
    if errors and warnings:
        lines.append(Text())
    lines += _in_full(warnings) if every_warning else _in_short(warnings)
    return lines


def totals(records: Iterable[Record]) -> str:
    """Return `2 errors, 1 warning`, or `no problems`."""
    severities = [record["severity"] for record in records]
    errors = severities.count("error")
    warnings = len(severities) - errors
    parts = [counted(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return ", ".join(parts) or "no problems"


def place(record: Record) -> str:
    """Return `nodes[3].config`, or `line 7, column 3` of a file that cannot be read, or nothing."""
    location = record.get("location") or {}
    if location.get("path"):
        return str(location["path"])
    if location.get("line") is not None:
        return f"line {location['line']}, column {location['column']}"
    return ""


def _some_of_each(errors: Iterable[Record]) -> Iterator[Record]:
    seen: Counter[str] = Counter()
    for record in errors:
        seen[str(record["rule"])] += 1
        if seen[str(record["rule"])] <= MOST_ALIKE:
            yield record


def _in_full(records: Sequence[Record]) -> Iterator[Text]:
    width = max((len(str(record["rule"])) for record in records), default=0)
    for source, group in groupby(sorted(records, key=_order), key=_source):
        yield Text(source, "bold")
        told = ""
        for record in group:
            yield from _entry(record, width)
            if record.get("help") not in (told, None, ""):
                told = str(record["help"])
                yield Text(" " * (width + 6) + told, "dim")


def _entry(record: Record, width: int) -> Iterator[Text]:
    is_error = record["severity"] == "error"
    yield Text.assemble(
        "  ",
        (BAD, "bold red") if is_error else (NOTE, "bold yellow"),
        " ",
        (str(record["rule"]).ljust(width), "dim"),
        "  ",
        (place(record), "cyan"),
        "  " if place(record) else "",
        str(record["message"]),
    )
    margin = " " * (width + 6)
    compared = []
    if record.get("expected") not in (None, ""):
        compared.append(f"expected {_value(record['expected'])}")
    if record.get("actual") is not None:
        compared.append(f"found {_value(record['actual'])}")
    if compared:
        yield Text(margin + "; ".join(compared), "dim")


def _in_short(warnings: Sequence[Record]) -> Iterator[Text]:
    if not warnings:
        return
    publishing = [record for record in warnings if _is_for_publishing(record)]
    if len(publishing) < FOLD_FROM:
        publishing = []
    by_rule: dict[str, list[Record]] = {}
    for record in warnings:
        if publishing and _is_for_publishing(record):
            continue
        by_rule.setdefault(str(record["rule"]), []).append(record)
    width = max(map(len, by_rule), default=0)
    yield Text("warnings", "bold")
    for rule, records in list(by_rule.items())[:MOST_IN_SHORT]:
        first = records[0]
        where = " ".join(filter(None, (_source(first), place(first))))
        more = f" (and {len(records) - 1} more)" if len(records) > 1 else ""
        yield Text.assemble(
            "  ",
            (NOTE, "bold yellow"),
            " ",
            (rule.ljust(width), "dim"),
            "  ",
            one_line(str(first["message"]), VALUE_WIDTH),
            (f"  {where}{more}", "dim"),
        )
    hidden = len(by_rule) - MOST_IN_SHORT
    if hidden > 0:
        yield Text(f"  {counted(hidden, 'more rule')}; -v shows every warning", "dim")
    if publishing:
        many = counted(len(publishing), "thing")
        yield Text.assemble(
            "  ",
            (NOTE, "bold yellow"),
            f" {many} that published bundles have are missing",
            ("; it runs without them; -v lists them", "dim"),
        )


def _is_for_publishing(record: Record) -> bool:
    """Tell whether it says only what a bundle lacks to be published."""
    rule = str(record["rule"])
    return rule.startswith(_PUBLISHING) or rule in _PUBLISHING_RULES


def _value(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        choice = ", ".join(value)
        return one_line(f"one of {choice}" if len(value) > 1 else f"'{choice}'", VALUE_WIDTH)
    return one_line(value, VALUE_WIDTH)


def _order(record: Record) -> tuple[str, int, int]:
    """Order by file, then as it is read: line 2 stands before line 10."""
    location = record.get("location") or {}
    file = str(location.get("file") or _source(record))
    return file, int(location.get("line") or 0), int(location.get("column") or 0)


def _source(record: Record) -> str:
    return str((record.get("location") or {}).get("source") or "")
