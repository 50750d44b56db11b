"""What others wrote into `human.jsonl`, kept until the job has taken note of it.

A line becomes part of our own stream at once, and a fact of the job later. So that a crash between
the two loses nothing, the lines wait in a file beside the stream until somebody confirms them; what
is told twice after a crash has the same id.

Source: bundle format 6.11, 7.3.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from mnedge.model.ids import derived_id
from mnedge.store.runs.files import replace_file
from mnedge.store.runs.kinds import HUMAN

AT_MOST = 1000
"""Lines that may wait; a worker that floods the file is not listened to beyond that."""
UNPARSEABLE = "unparseable_event"
OVERHEARD = "human_lines_dropped"
_SPEAKERS = ("by", "reviewer", "submitted_by", "actor")


class Spoken(Struct, frozen=True, kw_only=True):
    """One line of somebody else."""

    line_id: str
    type: str
    """One of `kinds.HUMAN`, or that the line is none of them (`UNPARSEABLE`, `OVERHEARD`)."""
    payload: dict[str, Any] = field(default_factory=dict)
    by: str = ""

    @property
    def is_for_people(self) -> bool:
        """Tell whether it is a request, an answer or a notice; else only worth an event."""
        return self.type in HUMAN


class Spool:
    """The lines of one run that wait to be confirmed."""

    def __init__(self, folder: Path, job_id: str) -> None:
        self._path = folder / "human.heard.json"
        self._job_id = job_id
        self._waiting: dict[str, Spoken] = {}
        self._told: set[str] = set()
        self._left_out = 0

    def load(self) -> None:
        """Read what an earlier owner has not confirmed; a damaged file is an empty one."""
        self._told.clear()
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=list[Spoken])
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = []
        self._waiting = {spoken.line_id: spoken for spoken in found}

    def add(self, lines: Sequence[bytes]) -> None:
        """Keep lines of others, as they are about to enter our stream.

        Raises: OSError.
        """
        before = len(self._waiting)
        for line in lines:
            spoken = understood(line, self._job_id)
            if spoken is None or spoken.line_id in self._waiting:
                continue
            if len(self._waiting) < AT_MOST:
                self._waiting[spoken.line_id] = spoken
            else:
                self._left_out += 1
        if len(self._waiting) > before:
            self._keep()

    def new(self) -> list[Spoken]:
        """Return what was not handed out since it was loaded, in the order of the file."""
        fresh = [one for one in self._waiting.values() if one.line_id not in self._told]
        self._told.update(one.line_id for one in fresh)
        if self._left_out:
            count, self._left_out = self._left_out, 0
            fresh.append(Spoken(line_id="", type=OVERHEARD, payload={"count": count}))
        return fresh

    def confirm(self, line_ids: Collection[str]) -> None:
        """Forget what the job's journal holds.

        Raises: OSError.
        """
        if not self._waiting.keys() & set(line_ids):
            return
        for line_id in line_ids:
            self._waiting.pop(line_id, None)
            self._told.discard(line_id)
        self._keep()

    def _keep(self) -> None:
        if self._waiting:
            replace_file(self._path, msgspec.json.encode(list(self._waiting.values())))
        else:
            self._path.unlink(missing_ok=True)


def understood(line: bytes, job_id: str) -> Spoken | None:
    """Return what a line of others says; None for a record that is about nobody.

    `line` is as it enters our stream: one JSON object, without secrets.
    """
    record: dict[str, Any] = msgspec.json.decode(line)
    type_, payload = record.get("type"), record.get("payload")
    if type_ in HUMAN and isinstance(payload, dict):
        return Spoken(
            line_id=_line_id(record, job_id),
            type=type_,
            payload=payload,
            by=_speaker(payload) or _speaker(record) or "human.jsonl",
        )
    if type_ in HUMAN or type_ == UNPARSEABLE:
        said = payload if isinstance(payload, dict) else {"line": line.decode()[:2000]}
        why = "no JSON object" if type_ == UNPARSEABLE else f"{type_} needs a payload"
        return Spoken(
            line_id=_line_id(record, job_id),
            type=UNPARSEABLE,
            payload={"file": "human.jsonl", "reason": why, **said},
        )
    return None


def _line_id(record: dict[str, Any], job_id: str) -> str:
    """Return the id of a record: its own, or one that follows from what it says."""
    given = record.get("event_id")
    if isinstance(given, str) and given:
        return given
    said = msgspec.json.encode(record, order="sorted")
    return "line_" + derived_id(f"{job_id}:{said.decode()}", size_bytes=12)


def _speaker(record: dict[str, Any]) -> str:
    for name in _SPEAKERS:
        value = record.get(name)
        if isinstance(value, str) and value:
            return value
    return ""
