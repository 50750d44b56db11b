"""The connector against the contract of all connectors."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mnedge.errors import UsageError
from mnedge.ports import Connector
from mnedge.testing.connector_contract import ConnectorContract
from mnedge_template.connector import Sqlite


def write(place: Path, *statements: str) -> None:
    with closing(sqlite3.connect(place)) as database, database:
        for statement in statements:
            database.execute(statement)


class TestSqlite(ConnectorContract):
    @pytest.fixture
    def connector(self, tmp_path: Path) -> Connector:
        write(
            tmp_path / "readings.db",
            "CREATE TABLE readings (id INTEGER PRIMARY KEY, celsius REAL, note TEXT)",
            "INSERT INTO readings (celsius, note) VALUES (21.5, 'first'), (22.0, NULL)",
        )
        return Sqlite([str(tmp_path)])

    @pytest.fixture
    def settings(self, tmp_path: Path) -> dict[str, Any]:
        place = str(tmp_path / "readings.db")
        return {"path": place, "table": "readings", "key": "id", "interval_s": 0.1}

    @pytest.fixture
    def away(self, tmp_path: Path) -> dict[str, Any]:
        return {"path": str(tmp_path / "nowhere.db"), "table": "readings"}

    @pytest.fixture
    def change(self, tmp_path: Path) -> Callable[[], None]:
        added = "INSERT INTO readings (celsius, note) VALUES (23.0, 'later')"
        return lambda: write(tmp_path / "readings.db", added)

    async def test_a_row_is_an_object(self, connector: Connector, settings: dict[str, Any]) -> None:
        batch = await self.got(connector, settings)
        assert batch.items[0].body == {"id": 1, "celsius": 21.5, "note": "first"}
        assert [item.item_id for item in batch.items] == ["readings:1", "readings:2"]

    async def test_nothing_outside_is_read(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="outside the bundle"):
            await Sqlite().read(
                {"path": "../readings.db", "table": "readings"}, folder=str(tmp_path / "bundle")
            )

    def test_names_cannot_hold_more_than_a_name(self) -> None:
        assert Sqlite().check({"path": "a", "table": 'x"; DROP TABLE y; --'})

    async def test_what_will_never_be_read_is_refused_for_good(
        self, connector: Connector, settings: dict[str, Any]
    ) -> None:
        with pytest.raises(UsageError, match="no cursor of sqlite"):
            await self.got(connector, settings, "yesterday")
        for key in ("note", "no_such_column"):
            with pytest.raises(UsageError, match="no column of whole numbers"):
                await self.got(connector, settings | {"key": key})
