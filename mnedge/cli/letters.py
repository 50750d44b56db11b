"""`job dead-letters list|show|redrive|discard`: messages that nobody could take."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import Cell, columns, counted, fields, one_line
from mnedge.cli.verbs import Asked
from mnedge.model.states import Verb
from mnedge.runtime import answers
from mnedge.runtime.view import JobView

_WORDS = {
    Verb.REDRIVE: ("Delivered again", "to be delivered again"),
    Verb.DISCARD: ("Discarded", "to be discarded"),
}


async def list_letters(asked: Asked, job_id: str) -> None:
    """Print the dead letters of a job, the oldest first."""
    view = await _view(asked, job_id)
    screen = Screen(asked)
    if not asked.human:
        screen.records(view.dead_letters)
    elif view.dead_letters:
        screen.say(*letter_lines(view.dead_letters, screen.width))
        screen.hint(f"mnedge job dead-letters redrive {view.record.job_id} MESSAGE_ID")
    else:
        screen.say("no dead letters")


async def show_letter(asked: Asked, job_id: str, message_id: str) -> None:
    """Print one dead letter with its message."""
    view = await _view(asked, job_id)
    [letter] = answers.chosen_letters(view, message_id)
    screen = Screen(asked)
    if not asked.human:
        screen.document(letter)
        return
    screen.say(
        Text(str(letter["message_id"]), "bold"),
        *fields(
            [
                ("reason", str(letter.get("reason") or "")),
                ("agent", str(letter.get("agent_id") or "")),
                ("step", str(letter.get("step_id") or "")),
                ("at", str(letter.get("at") or "")),
            ]
        ),
        "",
    )
    screen.document(letter.get("message"))


async def dispose(
    asked: Asked, job_id: str, verb: Verb, message_id: str, wait: bool, timeout_s: float
) -> None:
    """Have dead letters delivered again, or forgotten, and say so."""
    async with desk(asked) as here:
        done = await here.dispose(job_id, verb, message_id, timeout_s if wait else 0.0)
    screen = Screen(asked)
    ids, acted = done.message_ids, done.acted
    if not asked.human:
        screen.document(
            {
                "job_id": done.job_id,
                "verb": verb,
                "message_ids": ids,
                "acted": acted,
                "owned": done.owned,
            }
        )
        return
    said, asked_for = _WORDS[verb]
    letters_ = counted(len(ids), "dead letter")
    screen.good(f"{said}: {letters_}" if acted else f"{letters_} {asked_for}")
    screen.say(*fields([("job", done.job_id), ("message", ids[0] if len(ids) == 1 else "")]))
    if not done.owned:
        screen.note("no living process owns the job; it acts when it is recovered")
        screen.hint(f"mnedge job recover {done.job_id}")


def letter_lines(letters: Sequence[Mapping[str, Any]], width: int | None) -> list[Text]:
    """Return a line per dead letter."""
    rows = [
        [
            Cell(str(letter["message_id"])),
            Cell(str(_envelope(letter).get("type") or ""), "dim"),
            Cell(str(letter.get("step_id") or letter.get("agent_id") or ""), "dim"),
            Cell(one_line(letter.get("reason") or "", 160)),
        ]
        for letter in letters
    ]
    head = [Cell(word, "dim") for word in ("message", "type", "for", "reason")]
    return columns([head, *rows], width=width)


def _envelope(letter: Mapping[str, Any]) -> Mapping[str, Any]:
    message = letter.get("message")
    envelope = message.get("envelope") if isinstance(message, Mapping) else None
    return envelope if isinstance(envelope, Mapping) else {}


async def _view(asked: Asked, job_id: str) -> JobView:
    async with desk(asked) as here:
        return (await here.look(job_id)).view
