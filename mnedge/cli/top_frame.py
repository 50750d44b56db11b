"""The picture of a node: how it is, its pools, its jobs, who is waited for. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from rich.text import Text

from mnedge.cli.look import shown_status
from mnedge.cli.show import NOTE, STYLES, Cell, columns, counted, middle, one_line, shortened
from mnedge.cli.step_rows import bar
from mnedge.model.amounts import duration
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL, JobStatus

ID_CELLS = 44
LEAST_JOBS = 3


class Sight(Struct, frozen=True, kw_only=True):
    """What was seen of a node at one moment. Units: `at` in seconds."""

    at: float
    health: Mapping[str, Any]
    resources: Mapping[str, Any]
    jobs: Sequence[JobRecord]
    """The newest first; those that are not over before all others."""
    requests: Sequence[tuple[str, Sequence[Mapping[str, Any]]]] = ()
    done: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Of jobs of steps: how many steps are done, and how many there are."""

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "at": self.at,
            "health": self.health,
            "pools": self.resources.get("pools", {}),
            "jobs": [
                {
                    "job_id": job.job_id,
                    "blueprint_id": job.blueprint_id,
                    "status": shown_status(job),
                    "events": job.events,
                    "steps_done": self.done.get(job.job_id, (0, 0))[0],
                    "steps": self.done.get(job.job_id, (0, 0))[1],
                }
                for job in self.jobs
            ],
            "human_requests": [
                {"job_id": job_id, **one} for job_id, every in self.requests for one in every
            ],
        }


def rates(before: Sight | None, now: Sight) -> dict[str, float]:
    """Return events per second of each job since the last look."""
    if before is None or now.at <= before.at:
        return {}
    seen = {job.job_id: job.events for job in before.jobs}
    took_s = now.at - before.at
    return {
        job.job_id: max(job.events - seen[job.job_id], 0) / took_s
        for job in now.jobs
        if job.job_id in seen
    }


def lines(
    sight: Sight,
    before: Sight | None = None,
    *,
    width: int,
    height: int,
    where: str = "",
    chosen: int | None = None,
) -> list[Text]:
    """Return the picture, at most `height` lines; `chosen`: which job is marked."""
    pace = rates(before, sight)
    top = [_heading(sight, where, sum(pace.values())), *_pools(sight, width), Text()]
    people = _people(sight, width)
    room = max(height - len(top) - len(people) - 2, LEAST_JOBS)
    return [*top, *_jobs(sight, pace, width, room, chosen), *people]


def _heading(sight: Sight, where: str, pace: float) -> Text:
    health = sight.health
    said = str(health.get("status"))
    style = {"ok": "green", "no daemon": "yellow"}.get(said, "red")
    open_jobs = sum(job.status not in TERMINAL for job in sight.jobs)
    line = Text.assemble(
        (str(health.get("node") or where or "this machine"), "bold"),
        "  ",
        (said, style),
        (f"  {counted(open_jobs, 'job')} open  {pace:.0f} events/s", "dim"),
    )
    for problem in health.get("problems") or ():
        if problem.get("name") != "daemon.none":
            line.append(f"  {problem.get('message') or problem.get('name')}", "red")
    return line


def _pools(sight: Sight, width: int) -> list[Text]:
    rows = []
    for name, pool in (sight.resources.get("pools") or {}).items():
        whole, used = int(pool.get("capacity", 0)), int(pool.get("in_use", 0))
        queued = int(pool.get("queued", 0))
        note = f"{used} of {whole}" + (f", {queued} waiting" if queued else "")
        cells = 20 if width >= 60 else 8
        rows.append([Cell("  pool", "dim"), Cell(name), Cell(bar(used, whole, cells)), Cell(note)])
    totals = sight.resources.get("totals") or {}
    if totals:
        memory = f"{totals['memory_available_gb']:g} of {totals['memory_total_gb']:g} GiB free"
        disk = f"disk {totals['disk_available_gb']:g} GiB free"
        rows.append([Cell("  memory", "dim"), Cell(memory)])
        rows.append([Cell("  disk", "dim"), Cell(disk.removeprefix("disk "))])
    return [line for row in rows for line in columns([row], width=width)]


def _jobs(
    sight: Sight, pace: Mapping[str, float], width: int, room: int, chosen: int | None
) -> list[Text]:
    if not sight.jobs:
        return [Text("  no jobs yet", "dim")]
    first = 0 if chosen is None else max(chosen - room + 2, 0)
    shown = list(enumerate(sight.jobs))[first : first + room]
    rows = [_row(sight, job, pace, width, at == chosen) for at, job in shown]
    found = columns(rows, gap=1 if width < 60 else 2, width=width)
    hidden = len(sight.jobs) - len(shown)
    if hidden > 0:
        found.append(Text(f"  {counted(hidden, 'more job')}", "dim"))
    return found


def _row(
    sight: Sight, job: JobRecord, pace: Mapping[str, float], width: int, marked: bool
) -> list[Cell]:
    said = shown_status(job)
    done, whole = sight.done.get(job.job_id, (0, 0))
    progress = f"{bar(done, whole, 10)} {done}/{whole}" if whole else ""
    notes = []
    if rate := pace.get(job.job_id, 0.0):
        notes.append(f"{rate:.0f}/s")
    if job.status not in (JobStatus.PENDING,):
        end = job.ended_at if job.ended_at is not None else sight.at
        notes.append(duration(end - (job.started_at or job.submitted_at)))
    if job.review:
        notes.append(one_line(job.review, 60))
    narrow = width < 60
    return [
        Cell("▸" if marked else " ", "bold cyan"),
        Cell(middle(job.job_id, 18 if narrow else min(ID_CELLS, max(width - 55, 18))),
             "bold" if marked else ""),
        Cell(said.replace("waiting_for_human", "waiting" if narrow else "waits for a person"),
             STYLES.get(said, "")),
        *(() if narrow else (Cell(progress, "dim"),)),
        Cell("  ".join(notes), "dim"),
    ]  # fmt: skip


def _people(sight: Sight, width: int) -> list[Text]:
    found = [
        Text.assemble(
            (NOTE, "bold yellow"),
            " ",
            (shortened(f"{job_id}: {one.get('prompt') or one.get('request_id')}", width - 2), ""),
        )
        for job_id, every in sight.requests
        for one in every
    ]
    return [Text(), *found[:5]] if found else []
