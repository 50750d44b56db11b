"""`run list|show`: what run folders say, with or without a job."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from mnedge.cli.ending import tilde
from mnedge.cli.reach import config_of, desk, host_of
from mnedge.cli.screen import Screen
from mnedge.cli.show import (
    STYLES,
    Cell,
    ago,
    bounded,
    columns,
    counted,
    fields,
    middle,
    moment,
    one_line,
    reading_width,
    status,
)
from mnedge.cli.step_rows import step_table
from mnedge.cli.steps import from_ledger
from mnedge.cli.verbs import Asked, near
from mnedge.daemon.clock import wall_clock
from mnedge.errors import NotFoundError
from mnedge.model.amounts import duration, size
from mnedge.store.runs.files import read_json
from mnedge.store.runs.readers import RunNotFoundError, list_runs, read_run

Record = Mapping[str, Any]

ARTIFACT_LINES = 20
TELLING = ("type", "executive_summary", "recommended_action", "confidence")
UNTOLD = frozenset({"schema_version", "source_refs", "run_id", "blueprint_id"})
PLUMBING = frozenset({"index.json", "events.index.json", "logs.index.json", "errors.index.json"})


async def tell_runs(asked: Asked, blueprint_id: str | None, limit: int) -> None:
    """Print the runs, the most recently changed first."""
    if _is_elsewhere(asked):
        async with desk(asked) as there:
            runs = await there.runs(blueprint_id, limit)
        place = host_of(asked) or str(config_of(asked).runs_root)
    else:
        root = config_of(asked).runs_root
        runs, place = list_runs(root, blueprint_id=blueprint_id, limit=limit), tilde(str(root))
    screen = Screen(asked)
    if not asked.human:
        screen.records(runs)
    elif runs:
        screen.say(*run_lines(runs, wall_clock(), screen.width))
    else:
        screen.say(f"no runs in {place}")


async def tell_run(asked: Asked, run_id: str) -> None:
    """Print what a run left behind; run folders of this machine are read where they are."""
    if _is_elsewhere(asked):
        run, summary, artifact, workflow, every = await _run_there(asked, run_id)
    else:
        folder = found(config_of(asked).runs_root, run_id)
        run = read_run(folder)
        summary = _object(folder / "observability_summary.json")
        artifact = _object(folder / "final_artifact.json")
        workflow = _object(folder / "workflow_state.json")
        every = files_in(folder)
    screen = Screen(asked)
    if asked.human:
        screen.say(*lines(run, summary, artifact, every, screen.width, workflow=workflow))
    else:
        files = [{"path": str(path), "size_bytes": bytes_} for path, bytes_ in every]
        screen.document(
            {"run": run, "summary": summary, "final_artifact": artifact, "files": files}
        )


def _is_elsewhere(asked: Asked) -> bool:
    """Tell whether a daemon is asked: on another node, or of a user whose runs we may not read."""
    if host_of(asked):
        return True
    config = config_of(asked)
    return os.path.exists(config.runs_root) and not os.access(config.runs_root, os.R_OK | os.X_OK)


async def _run_there(
    asked: Asked, run_id: str
) -> tuple[Record, Record, Record, Record, list[tuple[Path, int]]]:
    """Return the same of a run on another node."""
    async with desk(asked) as there:
        ids = [str(run["run_id"]) for run in await there.runs(None, None)]
        told = await there.run(chosen(ids, run_id, there.where))
        run = told["run"]
        workflow: Record = {}
        every: list[tuple[Path, int]] = []
        with suppress(NotFoundError):  # the run may be kept longer than its job
            workflow = (await there.look(str(run["run_id"]))).view.workflow
            _, files = await there.artifacts(str(run["run_id"]))
            every = [(Path(str(one["path"])), int(one["size_bytes"])) for one in files]
    return (
        run,
        told["observability_summary"] or {},
        told["final_artifact"] or {},
        workflow,
        every,
    )


def found(root: Path, run_id: str) -> Path:
    """Return the folder of this run, of the only one whose id begins so, or of the newest.

    Raises: RunNotFoundError with near ids.
    """
    return root / chosen([str(run["run_id"]) for run in list_runs(root)], run_id, str(root))


def chosen(runs: Sequence[str], run_id: str, where: str) -> str:
    """Return the run that is meant, of those that are there, the newest first.

    Raises: RunNotFoundError with near ids.
    """
    begin = [one for one in runs if one.startswith(run_id)]
    if run_id in runs:
        return run_id
    if run_id == "last" and runs:
        return runs[0]
    if len(begin) == 1:
        return begin[0]
    offered = begin[:5] or near(run_id, runs)
    what = "several runs begin" if begin else "no run begins"
    raise RunNotFoundError(
        f"{what} with {run_id!r}" if runs else f"there are no runs in {where}",
        hint=f"did you mean {' or '.join(offered)}?" if offered else "`mnedge run list` shows them",
        details={"near": offered},
    )


def run_lines(runs: Sequence[Record], now: float, width: int | None) -> list[Text]:
    """Return one line per run."""
    rows = [
        [
            Cell(_fitting(str(run["run_id"]), width)),
            Cell(str(run["status"]), STYLES.get(str(run["status"]), "")),
            Cell(_age(run, now), "dim"),
            Cell(_took(run), right=True),
            Cell(one_line(str(run.get("reason") or ""), 200), "dim"),
        ]
        for run in runs
    ]
    head = [Cell(word, "dim") for word in ("run", "status", "started", "took", "")]
    return columns([head, *rows], width=width)


def lines(
    run: Record,
    summary: Record,
    artifact: Record,
    files: Sequence[tuple[Path, int]],
    width: int | None = None,
    *,
    workflow: Record | None = None,
) -> list[Text]:
    """Return the outcome, the figures, the steps, the final artifact and the files."""
    started_at = at(run.get("started_at"))
    figures = [
        counted(value, word)
        for word in ("event", "error", "warning", "log", "artifact")
        if isinstance(value := summary.get(f"{word}_count"), int)
    ]
    told = [
        Text.assemble((str(run["run_id"]), "bold"), "  ", status(str(run["status"]))),
        *fields(
            [
                ("blueprint", str(run["blueprint_id"])),
                ("started", "" if started_at is None else moment(started_at)),
                ("took", _took(run)),
                ("reason", Text(one_line(str(run.get("reason") or ""), 400), "red")),
                ("recorded", ", ".join(figures)),
                ("folder", tilde(str(run["run_dir"]))),
            ]
        ),
    ]
    steps = from_ledger(workflow or {})
    if steps:
        told += [Text(), *step_table(steps.values(), 0.0, width)]
    if artifact:
        shown, missing = bounded(
            _telling(artifact), lines=ARTIFACT_LINES, width=reading_width(width)
        )
        told += [Text(), Text("final artifact", "bold"), *(Text(f"  {line}") for line in shown)]
        if missing:
            told.append(Text(f"  … {missing} more lines in final_artifact.json", "dim"))
    rows = [
        (Cell(""), Cell(str(path)), Cell(size(bytes_), "dim", right=True)) for path, bytes_ in files
    ]
    return [*told, Text(), Text("files", "bold"), *columns(rows)]


def files_in(folder: Path) -> list[tuple[Path, int]]:
    """Return the files for people, relative to the folder, with their sizes."""
    return sorted(_walk(folder))


def at(value: Any) -> float | None:
    """Return the moment that a record's time text names."""
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except ValueError:
        return None


def _walk(folder: Path) -> Iterator[tuple[Path, int]]:
    for inside, _, names in os.walk(folder):
        for name in names:
            path = Path(inside, name)
            if name not in PLUMBING and path.is_file() and not path.is_symlink():
                yield path.relative_to(folder), path.stat().st_size


def _fitting(run_id: str, width: int | None) -> str:
    return run_id if width is None else middle(run_id, max(width - 38, 14))


def _took(run: Record) -> str:
    started_at, ended_at = at(run.get("started_at")), at(run.get("ended_at"))
    return "" if started_at is None or ended_at is None else duration(ended_at - started_at)


def _age(run: Record, now: float) -> str:
    started_at = at(run.get("started_at"))
    return "" if started_at is None else ago(started_at, now)


def _telling(artifact: Record) -> dict[str, Any]:
    """Return what a person reads of a final artifact: what has a value, the words first."""
    names = [name for name in TELLING if name in artifact]
    names += [name for name in artifact if name not in TELLING and name not in UNTOLD]
    return {name: artifact[name] for name in names if artifact[name] not in (None, "", [], {})}


def _object(file: Path) -> dict[str, Any]:
    value = read_json(file)
    return value if isinstance(value, dict) else {}
