"""What all connectors keep to. Subclass it in a test module with these fixtures.

`connector`: the connector under test. `settings`: good settings for it, with every secret being
`SECRET`, of a source that holds something; paths in them are absolute. `away`: settings of a source
that cannot be reached now. `change()`: makes the source hold something new. The tests need real
time.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
import trio

from mnedge.errors import MnedgeError, UnavailableError, UsageError
from mnedge.ports import Batch, Connector

Change = Callable[[], None]
Settings = Mapping[str, Any]
SECRET = "never-to-be-shown-anywhere"  # noqa: S105
PATIENCE_S = 20.0
CURSOR_BYTES = 64 << 10


class ConnectorContract:
    """Tests of the Connector port."""

    async def got(
        self, connector: Connector, settings: Settings, cursor: str | None = None
    ) -> Batch:
        """Read, and fail rather than wait for ever."""
        with trio.fail_after(PATIENCE_S):
            return await connector.read(settings, cursor, folder="")

    async def news(self, connector: Connector, settings: Settings, cursor: str) -> Batch:
        """Read until there is something new, and fail rather than wait for ever."""
        with trio.fail_after(PATIENCE_S):
            while True:
                batch = await connector.read(settings, cursor, folder="")
                if batch.items:
                    return batch
                cursor = batch.cursor
                await trio.sleep(0.05)

    def test_it_says_what_it_is(self, connector: Connector) -> None:
        assert len(connector.name) > 0
        assert connector.name == connector.name.lower()
        assert connector.name.isascii()

    def test_good_settings_have_no_problems(self, connector: Connector, settings: Settings) -> None:
        assert connector.check(settings) == []

    @pytest.mark.parametrize("extra", [{"no_such_setting": 1}, {"": ""}])
    def test_a_setting_that_it_does_not_know_is_a_problem(
        self, connector: Connector, settings: Settings, extra: Settings
    ) -> None:
        problems = connector.check({**settings, **extra})
        assert problems
        assert all(problems)

    def test_senseless_settings_are_a_problem_not_an_exception(self, connector: Connector) -> None:
        assert isinstance(connector.check({}), list), "some sources need no settings"
        assert connector.check({key: [None] for key in ("path", "url", "auth", "headers")})

    def test_problems_show_no_secret(self, connector: Connector, settings: Settings) -> None:
        assert SECRET not in " ".join(connector.check({**settings, "no_such_setting": SECRET}))

    async def test_what_is_there_is_read_and_can_be_kept(
        self, connector: Connector, settings: Settings
    ) -> None:
        batch = await self.got(connector, settings)
        assert batch.items
        assert len({item.item_id for item in batch.items}) == len(batch.items)
        for item in batch.items:
            assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", item.event)
            assert item.source_ref
            text = msgspec.json.encode(item)
            assert msgspec.json.decode(text)["body"] == item.body
            assert SECRET.encode() not in text
        assert len(batch.cursor.encode()) <= CURSOR_BYTES

    async def test_the_same_thing_has_the_same_name_whenever_it_is_read(
        self, connector: Connector, settings: Settings
    ) -> None:
        first = await self.got(connector, settings)
        second = await self.got(connector, settings)
        assert [item.item_id for item in first.items] == [item.item_id for item in second.items]

    async def test_a_cursor_brings_what_is_new_and_nothing_else(
        self, connector: Connector, settings: Settings, change: Change
    ) -> None:
        first = await self.got(connector, settings)
        change()
        second = await self.news(connector, settings, first.cursor)
        old = {item.item_id for item in first.items}
        assert old.isdisjoint(item.item_id for item in second.items)

    async def test_the_same_cursor_brings_the_same_again(
        self, connector: Connector, settings: Settings, change: Change
    ) -> None:
        first = await self.got(connector, settings)
        change()
        second = await self.news(connector, settings, first.cursor)
        again = await self.news(connector, settings, first.cursor)
        assert [item.item_id for item in second.items] == [item.item_id for item in again.items]

    async def test_with_nothing_new_it_waits_and_can_be_cancelled(
        self, connector: Connector, settings: Settings, change: Change
    ) -> None:
        cursor = (await self.got(connector, settings)).cursor
        with trio.move_on_after(0.3):
            batch = await connector.read(settings, cursor, folder="")
            assert batch.items == []
            cursor = batch.cursor
        change()
        assert (await self.news(connector, settings, cursor)).items

    async def test_settings_with_problems_are_refused_for_good(
        self, connector: Connector, settings: Settings
    ) -> None:
        with pytest.raises(UsageError):
            await self.got(connector, {**settings, "no_such_setting": 1})
        if connector.check({}):
            with pytest.raises(UsageError):
                await self.got(connector, {})

    async def test_a_source_that_is_away_is_worth_another_try_and_no_secret_is_told(
        self, connector: Connector, away: Settings
    ) -> None:
        assert connector.check(away) == []
        with pytest.raises(UnavailableError) as raised:
            await self.got(connector, away)
        error: MnedgeError = raised.value
        assert error.message
        assert SECRET not in f"{error.message} {error.hint} {error.details}"
