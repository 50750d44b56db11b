"""How a job ended, for people. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from mnedge.cli.show import BAD, GOOD, NOTE, STYLES, bounded, fields, one_line, reading_width
from mnedge.model.amounts import duration
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus
from mnedge.runtime.outcome import output_of

RESULT_LINES = 30
FAULTED_MEND = "mnedge itself failed: report it. job recover tries again, job cancel ends the job"
_MARKS = {JobStatus.COMPLETED: (GOOD, "bold green"), JobStatus.CANCELLED: (NOTE, "bold yellow")}
_NEXT = {
    JobStatus.COMPLETED: "mnedge run show {id}",
    JobStatus.FAILED: "mnedge job logs {id}",
    JobStatus.FAULTED: "mnedge job show {id}",
    JobStatus.CANCELLED: "mnedge job show {id}",
}


def ending(
    record: JobRecord,
    *,
    lines: int = RESULT_LINES,
    width: int | None = None,
    last_words: Sequence[str] = (),
) -> list[Text]:
    """Return what a person wants to know at the end: outcome, result or reason, where to look.

    `width`: of the terminal, if it is one. `last_words`: what the worker that failed wrote last.
    """
    told = [headline(record)]
    match record.status:
        case JobStatus.COMPLETED:
            told += result_lines(output_of(record), record.job_id, lines, width)
        case JobStatus.FAILED | JobStatus.FAULTED:
            told += fields(reason_fields(record))
            if last_words:
                told += [Text(), *(Text(f"  │ {line}", "yellow") for line in last_words)]
        case _:
            pass
    following = _NEXT.get(record.status, "mnedge job recover {id}").format(id=record.job_id)
    told.append(Text())
    told += fields([("run folder", tilde(record.run_folder)), ("next", following)])
    return told


def headline(record: JobRecord) -> Text:
    """Return one line: what ended, how, after how long, by whom."""
    mark, style = _MARKS.get(record.status, (BAD, "bold red"))
    line = Text.assemble((mark, style), " ", (record.blueprint_id or record.graph_id, "bold"), " ")
    line.append(record.status, STYLES.get(record.status, ""))
    if record.ended_at is not None:
        word = "in" if record.status is JobStatus.COMPLETED else "after"
        elapsed_s = record.ended_at - (record.started_at or record.submitted_at)
        line.append(f" {word} {duration(elapsed_s)}")
    agent = record.result.get("agent_id") if isinstance(record.result, Mapping) else None
    if isinstance(agent, str) and record.status is JobStatus.COMPLETED:
        line.append(f", ended by {agent}")
    return line


def result_lines(value: Any, job_id: str, lines: int, width: int | None) -> list[Text]:
    """Return the beginning of the result, and how to see the rest."""
    if value is None:
        return []
    shown, missing = bounded(value, lines=lines, width=reading_width(width))
    told = [Text(), *(Text(f"  {line}") for line in shown)]
    if missing:
        told.append(Text(f"  … {missing} more lines: mnedge job result {job_id}", "dim"))
    return told


def reason_fields(record: JobRecord) -> list[tuple[str, str | Text]]:
    """Return why the job failed or stands still, in pairs."""
    error = record.error or {}
    details = error.get("details")
    details = details if isinstance(details, Mapping) else {}
    result = record.result if isinstance(record.result, Mapping) else {}
    message = str(details.get("message") or error.get("desc") or "")
    raw = result.get("error") or result.get("reason")
    if not message and raw is not None:
        message = one_line(raw, 400)
    fault = record.fault or {}
    return [
        ("agent", str(details.get("agent_id") or result.get("agent_id") or "")),
        ("step", str(details.get("step_id") or "")),
        ("reason", Text(one_line(message, 600), "red")),
        ("cause", Text(_first_line(str(details.get("cause") or "")), "red")),
        ("code", str(error.get("code") or "")),
        ("mend", str(error.get("remediation") or "")),
        ("fault", Text(_last_line(str(fault.get("error") or "")), "red")),
        ("mend", FAULTED_MEND if fault else ""),
        ("review", record.review or ""),
    ]


def tilde(path: str, home: Path | None = None) -> str:
    """Return the path with the home folder written as `~`."""
    home = home or Path.home()
    try:
        return f"~/{Path(path).relative_to(home)}" if path else ""
    except ValueError:
        return path


def document(record: JobRecord) -> dict[str, Any]:
    """Return the job at its end for programs."""
    return {"job": record, "result": output_of(record), "error": record.error}


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return one_line(lines[0], 300) if lines else ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return one_line(lines[-1], 300) if lines else ""
