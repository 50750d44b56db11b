"""The second ledger as one side of a comparison: moved, and looked at."""

from collections.abc import Callable
from typing import Any

from mnedge.model.manifest import JobSpec
from tests.engine.second_ledger.histories import Move
from tests.engine.second_ledger.ledger import Ledger

Key = tuple[str, str, str, int]
"""A launch: agent, attempt of the step, label of the message, which launch."""


class Plain:
    """The second ledger, moved."""

    def __init__(self, spec: JobSpec, make: Callable[[JobSpec], Ledger] = Ledger) -> None:
        self.ledger = make(spec)
        self.launched: list[Key] = []
        self.read = 0

    def out(self) -> list[Key]:
        return sorted(
            (f["agent"], f["attempt"] or "", f["message"]["label"], f["launch"])
            for f in self.ledger.flights.values()
            if not f["parked"]
        )

    def over(self) -> list[Key]:
        out = self.out()
        return sorted(key for key in self.launched if key not in out)

    def move(self, move: Move) -> None:
        ledger = self.ledger
        if move.kind != "timer":
            ledger.now = max(ledger.now, move.at)
        match move.kind:
            case "submit":
                ledger.submitted(move.at)
            case "end":
                assert move.outcome is not None
                ledger.ended(move.at, move.agent, move.outcome, move.label)
            case "said":
                assert move.event is not None
                ledger.said(move.at, move.agent, move.event)
            case "send":
                ledger.sent(move.at, move.agent, move.label, move.step)
            case "beacon":
                ledger.beacon(move.at, move.agent, move.timeout_ms)
            case "crash":
                ledger.recovered(move.at)
                self.remember()
                if move.request_id:
                    ledger.asked(move.at, "pause", move.request_id)
                self.pass_time(move.at)
            case "timer":
                self.pass_time(move.at)
            case "late" | "late_said" | "late_beacon" if self.over():
                ledger.answered_late(move.at, move.kind, self.picked(move))
            case "pause" | "resume" | "cancel":
                ledger.asked(move.at, move.kind, move.request_id)
        self.remember()

    def remember(self) -> None:
        """Keep what has been launched: it may answer after its end."""
        self.launched += [key for key in self.out() if key not in self.launched]

    def picked(self, move: Move) -> Key:
        over = self.over()
        return over[int(move.pick * len(over))]

    def pass_time(self, until: float) -> None:
        """What is due happens, in order."""
        timers = self.ledger.timers()
        while timers and timers[0][0] <= until:
            self.ledger.fired(max(timers[0][0], self.ledger.now), *timers[0][1:])
            timers = self.ledger.timers()

    def told(self) -> list[tuple[str, str | None]]:
        """Events since this was last asked."""
        new = self.ledger.events[self.read :]
        self.read = len(self.ledger.events)
        return new

    def view(self) -> dict[str, Any]:
        ledger = self.ledger
        return {
            "job": ledger.status,
            "result": ledger.result,
            "revision": ledger.revision,
            "order": ledger.order,
            "edges": [(e["from"], e["to"], e["accepts"]) for e in ledger.edges],
            "steps": {
                name: {
                    "status": one["status"],
                    "outcome": one["outcome"],
                    "attempt_count": one["count"],
                    "attempts": one["attempts"],
                    "attempt": one["attempt"],
                    "deadline_at": one["deadline_at"],
                    "heartbeat_deadline_at": one["heartbeat_deadline_at"],
                    "retry_at": one["retry_at"],
                    "waiting": len(one["waiting"]),
                }
                for name, one in ledger.steps.items()
            },
            "out": self.out(),
        }
