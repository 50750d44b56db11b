"""How full a mailbox is, and when that is worth saying.

Source: worker contract 5.8.
"""

from typing import Any

from msgspec import Struct

from mnedge.engine.settings import mapping, whole

NORMAL, PRESSURED, SATURATED = 0, 1, 2
LEVEL_NAMES = ("normal", "pressured", "saturated")


class Bounds(Struct, frozen=True, gc=False):
    """The sizes of one agent's mailbox, in messages."""

    most: int = 100
    high: int = 75
    low: int = 25
    retry_after_ms: int = 250
    keeps_all: bool = False
    """`drop_policy: block`: even stream messages wait for a place."""

    def level(self, depth: int, before: int) -> int:
        """Return the level at a depth; pressure that was there before ends at the low mark."""
        if depth >= self.most:
            return SATURATED
        if depth >= self.high or (before != NORMAL and depth > self.low):
            return PRESSURED
        return NORMAL

    def alarm(self, level: int) -> int:
        """Return the depth that needs a closer look: while normal the high mark, then the bound."""
        return self.high if level == NORMAL else self.most

    def shown(self, agent_id: str, depth: int, level: int) -> dict[str, Any]:
        """Return the snapshot that pressure events carry."""
        return {
            "agent_id": agent_id,
            "queue_depth": depth,
            "max_queue_depth": self.most,
            "high_watermark": self.high,
            "low_watermark": self.low,
            "retry_after_ms": self.retry_after_ms,
            "backpressure": level != NORMAL,
            "status": LEVEL_NAMES[level],
        }


def bounds_of(config: dict[str, Any]) -> Bounds:
    """Return what a config says, in `backpressure` or flat; odd values give the defaults."""
    declared = {**config, **mapping(config.get("backpressure"))}
    most = whole(declared.get("max_queue_depth"), at_least=1) or 100
    high = whole(declared.get("high_watermark"), at_least=1) or 75
    high = min(high, max(most - 1, 1))
    low = whole(declared.get("low_watermark"))
    wait_ms = whole(declared.get("retry_after_ms"))
    return Bounds(
        most=most,
        high=high,
        low=min(25 if low is None else low, high),
        retry_after_ms=250 if wait_ms is None else wait_ms,
        keeps_all=declared.get("drop_policy") == "block",
    )
