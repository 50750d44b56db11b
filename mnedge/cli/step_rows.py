"""Steps as lines: what each does, what it waits for, and for how long. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.text import Text

from mnedge.cli.show import BAD, Cell, columns, counted, one_line, shortened
from mnedge.cli.steps import WELL, StepProgress
from mnedge.model.amounts import duration

FOLD_FROM = 5
"""So many instances of one step share a line."""
NARROW = 60
BAR_CELLS = 20
MARKS = {
    "failed": (BAD, "bold red"),
    "running": ("●", "cyan"),
    "retry_wait": ("↻", "yellow"),
    "queued": ("○", "yellow"),
    "blocked": ("○", "yellow"),
    "waiting": ("○", "yellow"),
    "ready": ("○", "dim"),
    "pending": ("·", "dim"),
    "partial": ("✓", "yellow"),
    "completed": ("✓", "green"),
    "skipped": ("·", "dim"),
}
"""Sign and colour of each status, the most urgent first."""
_URGENCY = {status: rank for rank, status in enumerate(MARKS)}
_WORDS = {"retry_wait": "retry", "waiting": "waiting"}


class Fold(NamedTuple):
    """What shares a line: one step, or the instances of one."""

    members: Sequence[StepProgress]

    @property
    def label(self) -> str:
        """The step's name, or that of all: `worker[0..99]`."""
        first, last = self.members[0].step_id, self.members[-1].step_id
        if first == last:
            return first
        return f"{first[:-1]}..{last[last.rindex('[') + 1 :]}"

    @property
    def status(self) -> str:
        """The most urgent status of all members."""
        return min((one.status for one in self.members), key=lambda one: _URGENCY.get(one, 0))


def folds(steps: Iterable[StepProgress]) -> list[Fold]:
    """Return a fold per step, in order; many instances of a step share the place of the first."""
    groups: dict[str, list[StepProgress]] = {}
    for step in steps:
        groups.setdefault(_stem(step.step_id), []).append(step)
    found: list[Fold] = []
    for members in groups.values():
        if len(members) >= FOLD_FROM:
            found.append(Fold(members))
        else:
            found += [Fold([member]) for member in members]
    return found


def _stem(step_id: str) -> str:
    stem, bracket, index = step_id.rpartition("[")
    return f"{stem}[" if bracket and index[:-1].isdecimal() and index[-1:] == "]" else step_id


def step_lines(
    steps: Iterable[StepProgress], now: float, width: int, *, most: int | None = None
) -> list[Text]:
    """Return a line per fold; if there are more than `most`, the most urgent ones."""
    every = folds(step for step in steps if step.outcome != "mapped")
    shown = every
    if most is not None and len(every) > most:
        ranked = sorted(range(len(every)), key=lambda at: (_URGENCY.get(every[at].status, 0), at))
        kept = set(ranked[: max(most - 1, 1)])
        shown = [fold for at, fold in enumerate(every) if at in kept]
    cells = [_cells(fold, now, width) for fold in shown]
    lines = columns(cells, gap=1 if width < NARROW else 2, width=width)
    if len(shown) < len(every):
        lines.append(Text(f"  and {counted(len(every) - len(shown), 'more step')}", "dim"))
    return lines


def step_table(
    steps: Iterable[StepProgress], now: float, width: int | None, *, every: bool = False
) -> list[Text]:
    """Return the steps under a head: status, outcome, attempts, and what holds them up."""
    kept = [step for step in steps if every or step.outcome != "mapped"]
    rows = [_row(fold, now) for fold in ([Fold([step]) for step in kept] if every else folds(kept))]
    head = [Cell(word, "dim") for word in ("", "step", "status", "outcome", "attempts", "")]
    table = [head, *rows]
    if width is not None and width < NARROW:  # the outcome repeats the status, mostly
        table = [[*row[:3], row[4], row[5]] for row in table]
        return columns(table, gap=1, width=width)
    return columns(table, width=width)


def _sign(fold: Fold) -> tuple[str, str]:
    """Return the mark of the line, and its colour; a failure that was handled is no tick."""
    if any(step.outcome == "failed" for step in fold.members) and fold.status in WELL:
        return "!", "yellow"
    if all(step.stopped for step in fold.members):
        return "■", "dim"
    return MARKS.get(fold.status, ("○", "yellow"))


def _row(fold: Fold, now: float) -> list[Cell]:
    mark, style = _sign(fold)
    first = fold.members[0]
    if len(fold.members) > 1:
        state, note = _together(fold.members, NARROW - 1)
        attempts, outcome = str(sum(step.attempts for step in fold.members)), ""
    else:
        state, outcome = first.status, first.outcome
        attempts = f"{first.attempts} of {first.max_attempts}" if first.max_attempts > 1 else ""
        attempts = attempts or (str(first.attempts) if first.attempts else "")
        note = "  ".join(notes(first, now, attempts=False))
    red = "red" if fold.status == "failed" else "dim"
    return [
        Cell(mark, style),
        Cell(fold.label),
        Cell(state),
        Cell(outcome, "dim"),
        Cell(attempts, "dim"),
        Cell(note, red),
    ]


def _cells(fold: Fold, now: float, width: int) -> list[Cell]:
    mark, style = _sign(fold)
    gap = " " if width < NARROW else "  "
    if len(fold.members) == 1:
        step = fold.members[0]
        state, note = _WORDS.get(step.status, step.status), gap.join(notes(step, now))
        if step.asks:
            state = "waiting"
    else:
        state, note = _together(fold.members, width)
    label = shortened(fold.label, max(width // 2 - 6, 10))
    calm = "dim" if fold.status in ("pending", "skipped") else ""
    return [
        Cell(mark, style),
        Cell(label, calm),
        Cell(state, "dim"),
        Cell(note, "red" if fold.status == "failed" else "dim"),
    ]


def notes(step: StepProgress, now: float, *, attempts: bool = True) -> list[str]:
    """Return what is worth knowing of a step, the most telling first."""
    told: list[str] = []
    if step.asks and not step.stopped:
        told.append("for a person")
    match step.status:
        case _ if step.stopped:
            told.append("stopped with the job")
        case "retry_wait" if step.retry_at is not None:
            left_s = step.retry_at - now
            told.append(f"in {duration(left_s)}" if left_s > 0 else "now")
        case "blocked" | "pending" | "queued" | "waiting" if step.blocked_on:
            told.append(_held_up(step))
        case "running":
            if step.started_at is not None and now - step.started_at >= 1:
                told.append(duration(now - step.started_at))
            if step.beacon_at is not None:
                told.append(f"beacon {duration(now - step.beacon_at)} ago")
        case _:
            pass
    if attempts and (step.attempts > 1 or (step.attempts and step.max_attempts > 1)):
        most = f" of {step.max_attempts}" if step.max_attempts >= step.attempts else ""
        told.append(f"attempt {step.attempts}{most}")
    if step.reason:
        told.append(one_line(step.reason, 160))
    return told


def _held_up(step: StepProgress) -> str:
    """Return what it waits for; several instances of a step are counted."""
    if len(step.blocked_on) == 1 and " " in step.blocked_on[0]:
        return step.blocked_on[0]
    counts: dict[str, list[str]] = {}
    for name in step.blocked_on:
        counts.setdefault(_stem(name), []).append(name)
    waits = [
        one[0] if len(one) == 1 else f"{len(one)} of {stem[:-1]}" for stem, one in counts.items()
    ]
    more = f" and {len(waits) - 3} more" if len(waits) > 3 else ""
    return f"for {', '.join(waits[:3])}{more}"


def _together(members: Sequence[StepProgress], width: int) -> tuple[str, str]:
    """Return how many are done, and how many do what else; a bar where there is room."""
    done = sum(step.status in WELL for step in members)
    counts: dict[str, int] = {}
    for step in members:
        if step.status not in WELL:
            counts[step.status] = counts.get(step.status, 0) + 1
    ordered = sorted(counts, key=lambda status: _URGENCY.get(status, 0))
    parts = [f"{counts[status]} {_WORDS.get(status, status)}" for status in ordered]
    figures = f"{done} of {len(members)}"
    if width < NARROW:
        return figures, " ".join(parts)
    return figures, "  ".join([bar(done, len(members)), *parts])


def bar(done: int, whole: int, cells: int = BAR_CELLS) -> str:
    """Return a bar that is full only when all is done."""
    filled = done * cells // whole if whole else 0
    return "━" * filled + "┄" * (cells - filled)
