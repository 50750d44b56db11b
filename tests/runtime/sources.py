"""Connectors that do what the test says, without any outside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from mnedge.ports import Batch, Connector, Item


class Listed:
    """Gives what stands in its list; the cursor counts. `fails` is raised once each, in order."""

    def __init__(self, name: str = "listed", items: list[Any] | None = None) -> None:
        self.name = name
        self.items: list[Any] = [] if items is None else items
        self.fails: list[BaseException] = []
        self.asked: list[tuple[float, str | None]] = []
        self.settings: list[dict[str, Any]] = []
        self.most = 10
        self.wait_s = 30.0

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        return [f"{key} is no setting" for key in settings if key not in ("path", "auth")]

    async def read(
        self, settings: Mapping[str, Any], cursor: str | None = None, *, folder: str = ""
    ) -> Batch:
        self.asked.append((trio.current_time(), cursor))
        self.settings.append(dict(settings))
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise self.fails.pop(0)
        begin = int(cursor or 0)
        if len(self.items) <= begin and cursor is not None:
            await trio.sleep(self.wait_s)
        taken = self.items[begin : begin + self.most]
        return Batch([_item(begin + at, body) for at, body in enumerate(taken)], _end(begin, taken))


def _item(number: int, body: Any) -> Item:
    return Item(
        item_id=f"item-{number}", event="thing_came", body={"n": body}, source_ref={"at": number}
    )


def _end(begin: int, taken: list[Any]) -> str:
    return str(begin + len(taken))


def by_name(*connectors: Connector) -> dict[str, Connector]:
    """Return them by their names."""
    return {one.name: one for one in connectors}


def a_small_bundle(place: Path, config: dict[str, Any]) -> Path:
    """Make a bundle of two routers with this config; return its folder."""
    manifest = {
        "manifest_version": "1.0",
        "graph_id": "sources_v1",
        "job_name": "sources",
        "entrypoints": ["start"],
        "nodes": [
            {"node_id": "start", "agent_type": "router", "config": {}},
            {"node_id": "end", "agent_type": "router", "config": {}},
        ],
        "edges": [
            {"edge_id": "a", "from_node": "start", "to_node": "end", "message_type": "*"},
        ],
    }
    (place / "config").mkdir(parents=True, exist_ok=True)
    (place / "payloads").mkdir(exist_ok=True)
    (place / "manifest.json").write_text(json.dumps(manifest))
    (place / "config" / "default.json").write_text(json.dumps(config))
    return place
