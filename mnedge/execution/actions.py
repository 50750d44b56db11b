"""What a module agent's worker answers, as the engine's actions. Pure.

Source: worker contract 2.2, 2.10.
"""

import math
from typing import Any

from mnedge.execution.output import emission, named_event
from mnedge.model.facts import (
    Action,
    Checkpoint,
    Complete,
    Completion,
    DeliverLater,
    Emit,
    Tell,
)


def actions_in(items: Any) -> list[Action]:
    """Return the actions of an answer, in order.

    Raises: ValueError naming the first one that is none.
    """
    if not isinstance(items, list):
        raise ValueError("a handler's actions must be a list")
    return [_action(number, item) for number, item in enumerate(items, 1)]


def _action(number: int, item: Any) -> Action:
    found = _read(item)
    if found is None:
        kind = item.get("action") if isinstance(item, dict) else None
        what = f"of kind {kind!r}" if isinstance(kind, str) else "of no known kind"
        raise ValueError(f"action {number}, {what}, is not as `context` makes it")
    return found


def _read(item: Any) -> Action | None:
    match item:
        case {"action": "emit"}:
            read = emission(item)
            return None if read is None else Emit(emission=read)
        case {"action": "event"}:
            event = named_event(item)
            return None if event is None else Tell(event=event)
        case {"action": "deliver_later", "delay_s": int() | float() as delay_s, "type": str(name)}:
            if isinstance(delay_s, bool) or not math.isfinite(delay_s) or not name:
                return None
            return DeliverLater(delay_s=max(float(delay_s), 0.0), type=name, body=item.get("body"))
        case {"action": "complete_step" | "complete_run" as kind}:
            return Complete(completion=_completion(kind.removeprefix("complete_"), item))
        case {"action": "checkpoint", "snapshot": dict(snapshot)}:
            return Checkpoint(snapshot=snapshot)
        case _:
            return None


def _completion(scope: str, item: dict[str, Any]) -> Completion:
    result = item.get("result", True)
    if result is True:
        return Completion(scope=scope, default=True)
    return Completion(scope=scope, value=result)
