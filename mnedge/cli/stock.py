"""`mnedge definition`: bundles that a node keeps, to be started again and again. What verbs do."""

from pathlib import Path
from typing import Any

from mnedge.bundle import catalogue
from mnedge.cli import watch
from mnedge.cli.look import job_lines
from mnedge.cli.reach import desk, host_of
from mnedge.cli.screen import Screen
from mnedge.cli.show import STYLES, Cell, ago, columns, fields, moment
from mnedge.cli.submit import Wanted, checked_run_id, opened
from mnedge.cli.verbs import Asked
from mnedge.daemon.clock import wall_clock
from mnedge.runtime.definitions import Definition


async def create(
    asked: Asked, place: str, definition_id: str | None, config: dict[str, Any] | None
) -> None:
    """Keep a bundle."""
    import os

    from mnedge.cli.sending import files_of

    folder = place if Path(place).exists() else str(catalogue.find(place, os.environ))
    with opened(folder, Wanted(folder=folder)) as bundle:
        manifest, payloads = files_of(bundle)
        configuration = {**bundle.config, **(config or {})}
    async with desk(asked) as there:
        made = await there.define(manifest, payloads, definition_id, configuration)
    _tell(Screen(asked), made, "Kept", f"mnedge definition start {made.definition_id}")


async def list_all(asked: Asked, include_archived: bool) -> None:
    """Print what can be started again."""
    async with desk(asked) as there:
        found = await there.definitions(include_archived)
    screen = Screen(asked)
    if not asked.human:
        screen.records(found)
        return
    if not found:
        screen.say("no definitions")
        screen.hint("mnedge definition create FOLDER keeps one")
        return
    now = wall_clock()
    head = [
        Cell(word, "dim") for word in ("definition", "status", "version", "changed", "blueprint")
    ]
    rows = [
        [
            Cell(one.definition_id, "bold"),
            Cell(one.status, STYLES.get(one.status, "green" if one.status == "active" else "dim")),
            Cell(str(one.version), "dim", right=True),
            Cell(ago(one.updated_at, now), "dim"),
            Cell(one.blueprint_id, "dim"),
        ]
        for one in found
    ]
    screen.say(*columns([head, *rows], width=screen.width))


async def show(asked: Asked, definition_id: str) -> None:
    """Print one definition and its runs."""
    async with desk(asked) as there:
        one = await there.definition(definition_id)
        runs = await there.runs_of(definition_id)
    screen = Screen(asked)
    if not asked.human:
        screen.document({"definition": one, "runs": runs})
        return
    screen.say(one.definition_id, *fields(_pairs(one)))
    if runs:
        screen.say("", *job_lines(runs, wall_clock(), screen.width))


async def start(
    asked: Asked,
    definition_id: str,
    run_id: str | None,
    inputs: dict[str, Any] | None,
    detach: bool,
    quiet: bool,
) -> int:
    """Start it once more; watch it if somebody runs it."""
    checked_run_id(run_id)
    screen = Screen(asked)
    async with desk(asked) as there:
        record, _, daemon = await there.start(definition_id, run_id, inputs)
        if asked.human and not quiet:
            screen.good("Job submitted successfully")
            told = [("job", record.job_id), ("definition", definition_id)]
            screen.say(*fields([*told, ("runs in", there.where)]))
        if daemon is not None and not detach:
            screen.say("")
            shown = watch.shown_of(record, await there.look(record.job_id), from_now=False)
            return await watch.watch(screen, there, shown, quiet=quiet, cancels=True)
    if not asked.human:
        screen.document({"job": record, "daemon": daemon})
    elif daemon is None:
        screen.note("no daemon serves this data directory, so the job waits")
        screen.hint(f"mnedge daemon, or mnedge job recover {record.job_id}")
    return 0


async def archive(asked: Asked, definition_id: str) -> None:
    """Take no more runs of it."""
    async with desk(asked) as there:
        made = await there.archive(definition_id)
    _tell(Screen(asked), made, "Archived", "mnedge definition list --all")


async def delete(asked: Asked, definition_id: str) -> None:
    """Forget it; its runs stay."""
    async with desk(asked) as there:
        gone = await there.undefine(definition_id)
    _tell(Screen(asked), gone, "Forgotten", "")


def where_of(asked: Asked) -> str:
    """Return where a verb would act, for a question."""
    return host_of(asked) or "this machine"


def _tell(screen: Screen, one: Definition, done: str, following: str) -> None:
    if not screen.asked.human:
        screen.document(one)
        return
    screen.good(f"{done}: {one.definition_id}")
    screen.say(*fields([*_pairs(one), ("next", following)]))


def _pairs(one: Definition) -> list[tuple[str, str]]:
    return [
        ("blueprint", one.blueprint_id),
        ("status", one.status),
        ("version", str(one.version)),
        ("changed", moment(one.updated_at)),
        ("by", one.created_by),
    ]
