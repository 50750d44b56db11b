"""The ledgers that the blueprints' SPEC files promise, and the ledger that a job ended with."""

import json
import re
from pathlib import Path
from typing import Any

import trio
from msgspec import Struct

from mnedge.part import running
from mnedge.runtime.view import job_view
from mnedge.store.sqlite import SqliteStore

BLUEPRINTS = Path(__file__).resolve().parents[2] / "blueprints"
_PROMISE = re.compile(
    r"^#+ (?P<title>.+)\n\n(?P<words>(?:.+\n)+)\n```json\n(?P<ledger>(?:.+\n)+?)```$", re.M
)
_SETTING = re.compile(r"--set [^\s`]+")


class Promise(Struct, frozen=True):
    """One ledger of a SPEC, and what the run is given so that it ends with it."""

    title: str
    settings: list[str]
    ledger: dict[str, Any]


def promises(blueprint: str) -> list[Promise]:
    """Return the ledgers of a SPEC, that of the plain run first; none if it has no steps."""
    _, found, text = (BLUEPRINTS / blueprint / "SPEC.md").read_text().partition("\n## Ledger\n")
    if not found:
        return []
    return [
        Promise(
            title=match["title"],
            settings=" ".join(_SETTING.findall(match["words"])).split(),
            ledger=json.loads(match["ledger"]),
        )
        for match in _PROMISE.finditer("## Ledger\n" + text)
    ]


PATTERNS = sorted(
    path.parent.name for path in BLUEPRINTS.glob("*/SPEC.md") if promises(path.parent.name)
)
"""The blueprints that promise a ledger."""


def in_short(workflow_state: dict[str, Any], job_status: str) -> dict[str, Any]:
    """Return a `workflow_state` as a SPEC writes it."""
    return {
        "steps": {
            step_id: {
                "status": step["status"],
                "outcome": step["terminal_outcome"],
                "attempts": step["attempt_count"],
            }
            for step_id, step in workflow_state["steps"].items()
        },
        "job": job_status,
        "graph_revision": workflow_state["graph_revision"],
    }


def ledger_of(data_dir: Path, job_id: str) -> dict[str, Any]:
    """Return the ledger of a job in short, from its journal."""

    async def read() -> dict[str, Any]:
        async with running(SqliteStore(data_dir)) as store:
            view = await job_view(store, job_id)
        return in_short(view.workflow, view.record.status.value)

    return trio.run(read)
