"""`sqlite`: reads the rows of a table, and those that are added later.

Settings: `path` of the database, `table`, `key` (a column of whole numbers that grow, `rowid` if
none is named), `interval_s`.
"""

import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge.ports import Batch, Item

MOST_ROWS = 500
"""In one answer; the rest comes with the next."""
WAIT_S = 30.0
_KNOWN = frozenset({"path", "table", "key", "interval_s"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Sqlite:
    """Reads tables of SQLite databases, never writes."""

    name = "sqlite"

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._allowed = [Path(os.path.realpath(path)) for path in allowed]

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the settings; nothing is opened."""
        problems = [
            f"{key!r} is no setting of sqlite; it has {', '.join(sorted(_KNOWN))}"
            for key in settings
            if key not in _KNOWN
        ]
        path = settings.get("path")
        if not isinstance(path, str) or not path or "\0" in path:
            problems.append("path has to name a database, as in payloads/readings.db")
        for key in ("table", "key"):
            name = settings.get(key, "rowid" if key == "key" else None)
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                problems.append(f"{key} has to be a name of letters, digits and _")
        interval_s = settings.get("interval_s", 1)
        if type(interval_s) not in (int, float) or not 0.1 <= interval_s <= 3600:
            problems.append("interval_s has to be a number of 0.1 to 3600")
        return problems

    async def read(
        self, settings: Mapping[str, Any], cursor: str | None = None, *, folder: str = ""
    ) -> Batch:
        """Return rows in the order of their key; the cursor is the last key."""
        problems = self.check(settings)
        if problems:
            raise UsageError("; ".join(problems))
        place = self._place(settings["path"], folder)
        ends = trio.current_time() + WAIT_S
        while True:
            batch = await trio.to_thread.run_sync(
                _rows, place, settings, cursor, abandon_on_cancel=True
            )
            left_s = ends - trio.current_time()
            if batch.items or cursor is None or left_s <= 0:
                return batch
            await trio.sleep(min(float(settings.get("interval_s", 1)), left_s))

    def _place(self, path: str, folder: str) -> Path:
        """Return where the database lies, if a blueprint may read there."""
        place = Path(os.path.realpath(Path(folder) / path))
        own = [Path(os.path.realpath(folder))] if folder else []
        if not any(place.is_relative_to(top) for top in [*own, *self._allowed]):
            raise UsageError(
                f"{path} is outside the bundle",
                hint="name a file of the bundle, or add its folder to connectors.folders",
            )
        return place


def _rows(place: Path, settings: Mapping[str, Any], cursor: str | None) -> Batch:
    table, key = settings["table"], settings.get("key", "rowid")
    asked = (
        f'SELECT "{key}" AS "_key", * FROM "{table}" '  # noqa: S608 - both are plain names
        f'WHERE "{key}" > ? ORDER BY "{key}" LIMIT {MOST_ROWS}'
    )
    after = -1 if cursor is None else _number(cursor)
    try:
        with closing(sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            rows = [dict(row) for row in database.execute(asked, (after,))]
    except sqlite3.Error as error:
        raise UnavailableError(f"{settings['path']} cannot be read: {error}") from error
    if not all(type(row["_key"]) is int for row in rows):
        raise UsageError(f"{key} is no column of whole numbers", hint="name one, or none for rowid")
    last = rows[-1]["_key"] if rows else after
    return Batch([_item(settings, table, row.pop("_key"), row) for row in rows], str(last))


def _number(cursor: str) -> int:
    try:
        return int(cursor)
    except ValueError as error:
        raise UsageError("this is no cursor of sqlite") from error


def _item(settings: Mapping[str, Any], table: str, number: int, row: dict[str, Any]) -> Item:
    plain = {name: value for name, value in row.items() if not isinstance(value, bytes)}
    return Item(
        item_id=f"{table}:{number}",
        event="row_added",
        body=plain,
        source_ref={"connector": "sqlite", "path": settings["path"], "table": table, "row": number},
    )
