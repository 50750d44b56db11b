"""What `run lineage` does: says where the files of a run came from."""

from typing import Any
from urllib.parse import quote

from rich.text import Text

from mnedge.cli.desk import ArtifactUnknownError
from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import fields
from mnedge.cli.verbs import Asked, near
from mnedge.errors import UnavailableError
from mnedge.model.amounts import size

_HOW = {
    "declared": "its message names it",
    "time": "only this launch was under way when it was written",
    "runtime": "written by mnedge",
    "unknown": "unknown",
}


async def tell_lineage(
    asked: Asked, run_id: str, artifact: str | None, up: bool, down: bool, form: str
) -> None:
    """Print where each file came from, or one of them."""
    found = await _lineage(asked, run_id)
    if artifact is not None:
        paths = [one["path"] for one in found["artifacts"]]
        if artifact not in paths:
            meant = near(artifact, paths) or paths[:5]
            raise ArtifactUnknownError(
                f"run {found['run_id']} has no file {artifact!r}",
                hint=f"there is {', '.join(meant)}",
            )
        found["artifacts"] = [one for one in found["artifacts"] if one["path"] == artifact]
    screen = Screen(asked)
    if form == "openlineage":
        from mnedge.observe.lineage import open_lineage

        screen.document(open_lineage(found, "mnedge"))
        return
    if asked.output == "ndjson":
        screen.records(found["artifacts"])
        return
    if not asked.human:
        screen.document(found)
        return
    screen.say(*_head(found), "")
    for one in found["artifacts"]:
        screen.say(*_tree(one, up=up or not down, down=down))
    if not found["complete"]:
        screen.note("the beginning of the journal is no longer kept: earlier launches are unknown")


async def _lineage(asked: Asked, run_id: str) -> dict[str, Any]:
    async with desk(asked) as there:
        link = getattr(there, "link", None)
        record = await there.find(run_id)
        if link is not None:
            told: dict[str, Any] = await link.get(f"/jobs/{quote(record.job_id)}/lineage")
            return told
        store = getattr(there, "store", None)
        if store is None:
            raise UnavailableError("the store cannot be read here")
        from mnedge.observe.lineage import lineage_for

        return await lineage_for(store, record.job_id)


def _head(found: dict[str, Any]) -> list[Text]:
    code, inputs = found["code"], found["inputs"]
    recovered = found["recovered"]
    return [
        Text(found["run_id"], "bold"),
        *fields(
            [
                ("status", found["status"]),
                ("code", f"{code['source']}  {_short(code['bundle'])}"),
                ("config", _short(found["config"]["digest"])),
                ("inputs", ", ".join(f"{one['name']} {_short(one['digest'])}" for one in inputs)),
                ("actor", found["actor"]),
                ("trace", found["trace_id"]),
                ("recovered", f"{recovered} times" if recovered else ""),
            ]
        ),
    ]


def _tree(one: dict[str, Any], *, up: bool, down: bool) -> list[Text]:
    made = one["made_by"]
    lines = [Text(one["path"], "bold")]
    if one["size_bytes"] is not None:
        lines[0].append(f"  {size(one['size_bytes'])}  {_short(one['digest'])}", "dim")
    if "agent" in made:
        step = f", step {made['step']}" if made["step"] else ""
        again = f", launch {made['launch']}" if made["launch"] > 1 else ""
        lines.append(Text(f"  by {made['agent']}{step}  {made['attempt']}{again}"))
        lines.append(Text(f"     {_HOW[made['how']]}", "dim"))
        if up:
            lines += _up(one["messages"])
        if down:
            lines += _down(one["led_to"])
        return lines
    where = f" from the {made['from']}" if "from" in made else ""
    lines.append(Text(f"  {_HOW[made['how']]}{where}"))
    if up:
        lines += [
            Text(f"  └ {attempt['agent']}  {attempt['id']}", "dim")
            for attempt in made.get("attempts", ())[:10]
        ]
        more = len(made.get("attempts", ())) - 10
        lines += [Text(f"  └ … {more} more", "dim")] if more > 0 else []
    return lines


def _up(messages: list[dict[str, Any]]) -> list[Text]:
    lines = []
    for depth, message in enumerate(messages):
        indent = "  " + "  " * depth
        if "type" not in message:
            lines.append(Text(f"{indent}└ a message that is no longer known", "dim"))
            continue
        attempt = message["attempt"]
        by = f"  {attempt['id']}" if attempt else ""
        lines.append(Text(f"{indent}└ {message['type']} from {message['from']}{by}", "dim"))
    return lines


def _down(launches: list[dict[str, Any]]) -> list[Text]:
    lines = [
        Text(f"  ┌ led to {one['agent']}  {one['attempt']}, launch {one['launch']}", "dim")
        for one in launches[:20]
    ]
    return lines or [Text("  ┌ led to no other work", "dim")]


def _short(digest: str) -> str:
    return digest[:19] if digest.startswith("sha256:") else digest
