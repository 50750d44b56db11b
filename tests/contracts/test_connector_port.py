"""Every connector against the contract of its port."""

from collections.abc import Mapping
from typing import Any

import pytest
import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge.ports import Batch, Item
from mnedge.testing.connector_contract import SECRET, ConnectorContract
from mnedge_connectors.file import File
from mnedge_connectors.http import Http
from tests.live.source import Source

pytestmark = pytest.mark.live


class TestFileOfAFolder(ConnectorContract):
    @pytest.fixture
    def connector(self, tmp_path):
        (tmp_path / "readings").mkdir()
        (tmp_path / "readings" / "first.json").write_text('{"n": 0}')
        (tmp_path / "readings" / "note.txt").write_text("Grüße")
        return File([str(tmp_path)])

    @pytest.fixture
    def settings(self, tmp_path):
        return {"path": str(tmp_path / "readings"), "settle_s": 0, "interval_s": 0.1}

    @pytest.fixture
    def away(self, tmp_path):
        return {"path": str(tmp_path / "nowhere")}

    @pytest.fixture
    def change(self, tmp_path, connector):
        count = iter(range(1, 100))

        def write():
            number = next(count)
            (tmp_path / "readings" / f"later-{number}.json").write_text(f'{{"n": {number}}}')

        return write


class TestFileAlone(ConnectorContract):
    @pytest.fixture
    def connector(self, tmp_path):
        (tmp_path / "reading.json").write_text('{"n": 0}')
        return File([str(tmp_path)])

    @pytest.fixture
    def settings(self, tmp_path):
        return {"path": str(tmp_path / "reading.json"), "settle_s": 0, "interval_s": 0.1}

    @pytest.fixture
    def away(self, tmp_path):
        return {"path": str(tmp_path / "nowhere.json")}

    @pytest.fixture
    def change(self, tmp_path):
        count = iter(range(1, 100))

        def write():
            (tmp_path / "reading.json").write_text('{"n": %s}' % ("1" * next(count)))

        return write


class TestHttp(ConnectorContract):
    @pytest.fixture
    def source(self):
        with Source() as source:
            source.holds(b'{"n": 0}', "application/json")
            yield source

    @pytest.fixture
    def connector(self):
        return Http()

    @pytest.fixture
    def settings(self, source):
        return {
            "url": f"{source.url}/reading?key={SECRET}",
            "auth": SECRET,
            "headers": {"X-Key": SECRET},
            "interval_s": 0.1,
        }

    @pytest.fixture
    def away(self):
        return {"url": f"http://127.0.0.1:1/?key={SECRET}", "auth": SECRET}

    @pytest.fixture
    def change(self, source):
        count = iter(range(1, 100))
        return lambda: source.holds(b'{"n": %d}' % next(count), "application/json")


class Kept:
    """A connector that reads from a list in memory."""

    name = "kept"

    def __init__(self) -> None:
        self.items = ["a", "b"]

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        return [] if settings.keys() == {"away"} else ["it has one setting, away"]

    async def read(
        self, settings: Mapping[str, Any], cursor: str | None = None, *, folder: str = ""
    ) -> Batch:
        await trio.lowlevel.checkpoint()
        if self.check(settings):
            raise UsageError("mend the settings")
        if settings["away"]:
            raise UnavailableError("it is away")
        begin = int(cursor or 0)
        while cursor is not None and len(self.items) == begin:
            await trio.sleep(0.01)
        items = [
            Item(item_id=one, event="item_kept", source_ref={"connector": "kept"})
            for one in self.items[begin:]
        ]
        return Batch(items, str(len(self.items)))


class TestKept(ConnectorContract):
    @pytest.fixture
    def connector(self):
        return Kept()

    @pytest.fixture
    def settings(self):
        return {"away": False}

    @pytest.fixture
    def away(self):
        return {"away": True}

    @pytest.fixture
    def change(self, connector):
        return lambda: connector.items.append(f"later-{len(connector.items)}")
