"""The picture of a running job: a few aligned lines, however many agents it has.

Pure: progress in, lines out.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from rich.text import Text

from mnedge.cli.progress import AgentProgress, Asked, JobProgress, Trouble
from mnedge.cli.show import BAD, NOTE, STYLES, Cell, clock, columns, counted, shortened
from mnedge.cli.step_rows import bar, step_lines
from mnedge.cli.steps import WELL
from mnedge.model.amounts import duration

T = TypeVar("T")

GROUP_FROM = 5
"""So many agents of one kind whose names differ by a number share a line."""
MOST_TROUBLES = 5
MOST_REQUESTS = 3
LEAST_ROWS = 4
_NUMBERED = re.compile(r"(?P<stem>.*?)[ _.:-]*\d+$")
_MARKS = {
    "failed": (BAD, "bold red"),
    "running": ("●", "cyan"),
    "waiting": ("○", "yellow"),
    "stopped": (NOTE, "yellow"),
    "done": ("✓", "green"),
    "idle": ("·", "dim"),
}


class Row(NamedTuple):
    """What shares a line: one agent, or many alike."""

    members: Sequence[AgentProgress]

    @property
    def label(self) -> str:
        """The name, or the first and the last of them."""
        first, last = self.members[0].agent_id, self.members[-1].agent_id
        return first if first == last else f"{first} … {last}"

    @property
    def state(self) -> str:
        """The most urgent state of all members; `done` only if all are."""
        states = [member.state for member in self.members]
        for state in ("failed", "running", "waiting", "stopped"):
            if state in states:
                return state
        return "idle" if "idle" in states else "done"


def frame(
    job: JobProgress,
    title: str,
    elapsed_s: float,
    *,
    width: int,
    height: int,
    notice: str = "",
    now: float = 0.0,
    job_id: str = "",
) -> list[Text]:
    """Return the lines, at most `height` of them; `now` is when they are drawn, in job time."""
    lines = [_heading(job, title, elapsed_s), Text()]
    people = people_lines(job.requests.values(), job_id, now, width)
    tail = [*_footer(job), *_troubles(job.troubles, width), *people]
    if notice:
        tail += [Text(), Text.assemble((NOTE, "bold yellow"), " ", (notice, "yellow"))]
    room = max(height - len(lines) - len(tail) - 1, LEAST_ROWS)
    if job.steps:
        lines += step_lines(job.steps.values(), now, width, most=room)
    else:
        lines += _agents(job, width, room)
    return lines + tail


def people_lines(
    requests: Iterable[Asked],
    job_id: str,
    now: float,
    width: int | None = None,
    *,
    most: int = MOST_REQUESTS,
) -> list[Text]:
    """Return what a person is asked, how long there is time, and how to answer."""
    every = list(requests)
    lines: list[Text] = [Text()] if every else []
    for asked in every[:most]:
        where = f"{asked.step_id}: " if asked.step_id else ""
        text = f"{where}{' '.join((asked.prompt or 'a decision is needed').split())}"
        lines.append(
            Text.assemble(
                (NOTE, "bold yellow"), " ", (shortened(text, width - 2) if width else text, "bold")
            )
        )
        if asked.due_at is not None:
            left = f"{asked.default or 'the default'} in {duration(asked.due_at - now)}"
            lines.append(Text(f"  {left}", "dim"))
        lines.append(Text(f"  {answer_with(asked, job_id, alone=len(every) == 1)}", "yellow"))
    if len(every) > most:
        lines.append(Text(f"  {len(every) - most} more: mnedge job requests {job_id}", "dim"))
    return lines


def answer_with(asked: Asked, job_id: str, *, alone: bool) -> str:
    """Return the command that answers, as a person would type it."""
    which = "" if alone else f" --request {asked.request_id}"
    if {"approve", "reject"} <= set(asked.allowed) or not asked.allowed:
        return f"mnedge job approve|reject {job_id}{which}"
    return f"mnedge job respond {job_id}{which} --decision {'|'.join(asked.allowed)}"


def rows(agents: Iterable[AgentProgress]) -> list[Row]:
    """Return one row per agent, in order; many alike share the place of their first."""
    alike = grouped(agents, lambda agent: (agent.kind, stem_of(agent.agent_id)))
    return [Row(members) for members in alike]


def grouped(items: Iterable[T], alike: Callable[[T], Hashable]) -> list[list[T]]:
    """Return the items one by one, but `GROUP_FROM` or more that are alike together."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(alike(item), []).append(item)
    found: list[list[T]] = []
    for members in groups.values():
        found += [members] if len(members) >= GROUP_FROM else [[member] for member in members]
    return found


def stem_of(name: str) -> str:
    """Return the name without the number at its end."""
    match = _NUMBERED.fullmatch(name)
    return match["stem"] if match else name


def brief(job: JobProgress) -> str:
    """Return how far the job is, in half a line."""
    parts = []
    if job.steps:
        done = sum(step.status in WELL for step in job.steps.values())
        parts.append(f"{done} of {counted(len(job.steps), 'step')} done")
    received = sum(agent.received for agent in job.agents.values())
    parts.append(counted(received, "message") + " handled")
    if job.finished or job.running or job.waiting:
        parts.append(f"{job.finished} finished, {job.running} running, {job.waiting} waiting")
    if job.errors:
        parts.append(counted(job.errors, "error"))
    return ", ".join(parts)


def trouble_line(trouble: Trouble, width: int | None = None) -> Text:
    """Return one line about something that went wrong."""
    bad = trouble.severity == "error"
    who = f"{trouble.agent_id}  " if trouble.agent_id else ""
    text = f"{clock(trouble.at)}  {who}{trouble.text}"
    return Text.assemble(
        (BAD, "bold red") if bad else (NOTE, "bold yellow"),
        " ",
        shortened(text, width - 2) if width else text,
    )


def _heading(job: JobProgress, title: str, elapsed_s: float) -> Text:
    return Text.assemble(
        (title, "bold"),
        "  ",
        (job.shown_status.replace("_", " "), STYLES.get(job.shown_status, "")),
        (f"  {duration(elapsed_s)}  {counted(job.events, 'event')}", "dim"),
    )


def _footer(job: JobProgress) -> list[Text]:
    in_use = {pool: slots for pool, slots in job.slots.items() if slots}
    parts = [f"{counted(slots, 'slot')} of {pool} in use" for pool, slots in in_use.items()]
    if job.waiting:
        parts.append(f"{job.waiting} waiting for one")
    if job.lost:
        parts.append(f"{counted(job.lost, 'event')} not shown")
    return [Text(), Text("  " + ", ".join(parts), "dim")] if parts else []


def _troubles(troubles: Sequence[Trouble], width: int) -> list[Text]:
    if not troubles:
        return []
    hidden = len(troubles) - MOST_TROUBLES
    lines = [Text(), *(trouble_line(trouble, width) for trouble in troubles[-MOST_TROUBLES:])]
    if hidden > 0:
        lines.insert(1, Text(f"  {hidden} earlier", "dim"))
    return lines


def _agents(job: JobProgress, width: int, room: int) -> list[Text]:
    every = rows(job.agents.values())
    shown, hidden = _most_telling(every, room)
    cells = [_row(row) for row in shown]
    lines = columns(cells, width=width)
    if hidden:
        lines.append(Text(f"  and {counted(len(hidden), 'more agent')}", "dim"))
    return lines


def _most_telling(every: list[Row], room: int) -> tuple[list[Row], list[Row]]:
    """Return what fits, in order, preferring what is at work; and the rest."""
    if len(every) <= room:
        return every, []
    urgency = list(_MARKS)
    ranked = sorted(range(len(every)), key=lambda i: (urgency.index(every[i].state), i))
    kept = set(ranked[: room - 1])
    return (
        [row for i, row in enumerate(every) if i in kept],
        [row for i, row in enumerate(every) if i not in kept],
    )


def _row(row: Row) -> list[Cell]:
    mark, style = _MARKS[row.state]
    dim = "dim" if row.state == "idle" else ""
    if len(row.members) == 1:
        agent = row.members[0]
        kind, done, note = agent.kind, _done(agent), _note(agent)
    else:
        kind, done, note = _together(row.members)
    return [
        Cell(mark, style),
        Cell(row.label, dim),
        Cell(kind, "dim"),
        Cell(done, dim),
        Cell(note, "dim"),
    ]


def _done(agent: AgentProgress) -> str:
    if agent.kind == "executor":
        if agent.received > agent.finished:
            return f"{agent.finished} of {agent.received} done"
        return f"{agent.finished} done" if agent.finished else ""
    if agent.kind in ("aggregator", "sensor"):
        return f"{agent.finished} collected" if agent.finished else ""
    return f"{agent.received} handled" if agent.received else ""


def _note(agent: AgentProgress) -> str:
    parts = []
    if agent.running:
        parts.append("running" if agent.running == 1 else f"{agent.running} running")
    if agent.waiting:
        parts.append("waiting for a slot")
    if agent.stopped:
        parts.append("stopped")
    if agent.restarts:
        parts.append(counted(agent.restarts, "restart"))
    if agent.completed:
        parts.append("ended the job")
    if agent.note:
        parts.append(agent.note)
    return "  ".join(parts)


def _together(members: Sequence[AgentProgress]) -> tuple[str, str, str]:
    done = sum(member.state == "done" for member in members)
    parts = []
    for state in ("running", "waiting", "stopped", "failed"):
        count = sum(member.state == state for member in members)
        if count:
            parts.append(f"{count} {state}")
    restarts = sum(member.restarts for member in members)
    if restarts:
        parts.append(counted(restarts, "restart"))
    kind = f"{len(members)} {members[0].kind}s" if members[0].kind else ""
    return kind, f"{bar(done, len(members))} {done} of {len(members)}", "  ".join(parts)
