"""The JSON Schema of the configuration file, for editors that check while one types."""

from typing import Any

import msgspec

from mnedge.config.fitting import CHART_KEYS
from mnedge.config.settings import FileSettings
from mnedge.config.written import DURATION_PATTERN, SIZE_PATTERN

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_KINDS = {dict: "object", list: "array", str: "string", int: "integer"}


def schema() -> dict[str, Any]:
    """Return the schema; it knows what the loader knows, except what only makes no sense."""
    found = msgspec.json.schema(FileSettings)
    for name in ("Relay", "Soul", "Trace"):
        section = found["$defs"][name]
        for key, kinds in CHART_KEYS.items():
            section["properties"].setdefault(
                key,
                {
                    "type": [_KINDS[kind] for kind in kinds],
                    "description": "Read by the Helm chart only.",
                },
            )
    _let_be_written(found)
    return {"$schema": DIALECT, "title": "mnedge configuration", **found}


def _let_be_written(tree: Any) -> None:
    """Durations and sizes may be texts as well as numbers."""
    if isinstance(tree, list):
        for item in tree:
            _let_be_written(item)
    elif isinstance(tree, dict):
        if tree.get("pattern") in (DURATION_PATTERN, SIZE_PATTERN):
            tree["type"] = [tree["type"], "string"]
        for value in tree.values():
            _let_be_written(value)
