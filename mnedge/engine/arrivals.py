"""What comes from outside into a job that runs: messages, and what live inputs bring."""

from typing import Any

from mnedge.engine.job import fail
from mnedge.engine.route import dead_letter, deliver
from mnedge.engine.state import OUTSIDE, LiveInputState
from mnedge.engine.turn import Turn
from mnedge.model.body import weight_of
from mnedge.model.facts import LiveInputRead, LiveItem
from mnedge.model.ids import derived_id
from mnedge.model.message import Message, weight

RECEIPT_S = 3600.0
RECEIPTS = 10_000
"""How long, and how many of, the ids of messages from outside are remembered."""


def message_arrived(turn: Turn, message: Message) -> None:
    """Deliver a message, unless it came before."""
    if not _is_new(turn, message.message_id):
        return
    target = turn.job.index_of.get(message.to)
    if target is None:
        dead_letter(turn, message, f"agent {message.to or '(none)'} is not part of the job")
    else:
        deliver(turn, OUTSIDE, target, message)


def live_input_read(turn: Turn, fact: LiveInputRead) -> None:
    """Deliver what a live input brought, and remember how far it was read."""
    targets = turn.job.live_inputs.get(fact.name)
    if targets is None:
        return
    known = turn.state.live_inputs.setdefault(fact.name, LiveInputState())
    if known.over:
        return
    known.reads += fact.reads
    known.cursor = fact.cursor if fact.cursor is not None else known.cursor
    for item in fact.items:
        item_key = f"{turn.state.job_id}:input:{fact.name}:{item.item_id}"
        if _is_new(turn, derived_id(item_key)):
            known.items += 1
            _take(turn, fact.name, item, item_key, targets)
    if fact.ended is not None:
        known.over = True
        _end(turn, fact.name, fact.ended, known, fails=fact.fails)


def _take(turn: Turn, name: str, item: LiveItem, item_key: str, targets: list[int]) -> None:
    turn.tell(item.type, None, _shown(name, item))
    headers = {"mn.input": {"name": name, "item_id": item.item_id, "source_ref": item.source_ref}}
    for target in targets:
        agent_id = turn.job.agents[target].agent_id
        message = Message(
            message_id=derived_id(f"{item_key}:{agent_id}"),
            type=item.type,
            to=agent_id,
            sender=f"input:{name}",
            class_="event",
            correlation_id=derived_id(f"{item_key}:correlation"),
            at=turn.at,
            body=item.body,
            headers=headers,
            weight_bytes=weight(item.body, headers, [], None),
        )
        deliver(turn, OUTSIDE, target, message)


def _end(
    turn: Turn, name: str, ended: dict[str, Any], known: LiveInputState, *, fails: bool
) -> None:
    told = {"name": name, **ended, "required": fails, "reads": known.reads, "items": known.items}
    turn.tell("input_skill_failed", None, told)
    if fails:
        code = ended.get("code")
        fail(
            turn,
            None,
            f"live input {name} cannot be read any more: {ended.get('error')}",
            component="input_skill",
            code=code if isinstance(code, str) else None,
        )


def _shown(name: str, item: LiveItem) -> dict[str, Any]:
    return {
        "name": name,
        "item_id": item.item_id,
        "source_ref": item.source_ref,
        "size_bytes": weight_of(item.body),
    }


def _is_new(turn: Turn, message_id: str) -> bool:
    """Tell whether this comes for the first time, and remember that it came."""
    receipts = turn.state.receipts
    while receipts:
        oldest = next(iter(receipts))
        if receipts[oldest] > turn.at - RECEIPT_S and len(receipts) < RECEIPTS:
            break
        del receipts[oldest]
    if message_id in receipts:
        return False
    receipts[message_id] = turn.at
    return True
