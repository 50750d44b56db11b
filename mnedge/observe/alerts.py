"""What became of each alert: waiting for its time, firing, over. Pure; persisted by `alerting`."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct, field

from mnedge.model.ids import derived_id

State = Literal["pending", "firing"]


class Active(Struct, frozen=True, kw_only=True):
    """A condition that holds now."""

    name: str
    labels: Mapping[str, str]
    """Of the series; with the name they tell instances apart."""
    severity: str
    for_s: float = 0.0
    value: float = 0.0
    summary: str = ""
    notify: tuple[str, ...] = ()
    """Where it is told; empty: everywhere."""
    quiet: bool = False
    """Something graver says the same: not told for now."""

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return derived_id(repr((self.name, sorted(self.labels.items()))), size_bytes=12)


class Alert(Struct, kw_only=True, omit_defaults=True):
    """One alert that is pending or firing; the row `alert/<key>` of those that fire."""

    key: str
    name: str
    labels: dict[str, str]
    severity: str
    state: State
    since: float
    """When the condition began to hold."""
    fired_at: float | None = None
    value: float = 0.0
    summary: str = ""
    notify: list[str] = field(default_factory=list)
    told: bool = False
    """Its firing was put into the outbox."""


class Change(Struct, frozen=True, kw_only=True):
    """Something worth telling: an alert that fires, or is over."""

    alert: Alert
    event: Literal["firing", "resolved"]
    at: float

    def delivery_id(self, channel: str) -> str:
        """Return an id that is the same whoever sends it, and after every restart."""
        return "alt_" + derived_id(
            f"{self.alert.key}:{self.alert.fired_at}:{self.event}:{channel}", size_bytes=15
        )

    def body(self, node: str) -> dict[str, Any]:
        """Return what is sent."""
        alert = self.alert
        return {
            "status": self.event,
            "alert": alert.name,
            "severity": alert.severity,
            "labels": alert.labels,
            "summary": alert.summary,
            "value": alert.value,
            "fired_at": alert.fired_at,
            "resolved_at": self.at if self.event == "resolved" else None,
            "node": node,
        }


class Alerts:
    """All alerts of a node."""

    def __init__(self) -> None:
        self.known: dict[str, Alert] = {}
        self._hold_until: dict[str, float] = {}

    def resume(self, alert: Alert, *, hold_until: float) -> None:
        """Go on with one that fired before a restart; its series have to fill up again first."""
        self.known[alert.key] = alert
        self._hold_until[alert.key] = hold_until

    def update(
        self, now: float, active: Iterable[Active], silenced: Mapping[str, float]
    ) -> list[Change]:
        """Take what holds now; return what is worth telling.

        `silenced`: alert name → until when. What fires in silence is told when that ends, if it
        still fires then; what was never told is not told to be over.
        """
        changes: list[Change] = []
        holding = {one.key: one for one in active}
        for key, one in holding.items():
            self._hold_until.pop(key, None)
            alert = self.known.get(key)
            if alert is None:
                alert = self.known[key] = Alert(
                    key=key,
                    name=one.name,
                    labels=dict(one.labels),
                    severity=one.severity,
                    state="pending",
                    since=now,
                    notify=list(one.notify),
                )
            alert.value, alert.summary = one.value, one.summary
            if alert.state == "pending" and now - alert.since >= one.for_s:
                alert.state, alert.fired_at = "firing", now
            silent = one.quiet or silenced.get(one.name, 0.0) > now
            if alert.state == "firing" and not alert.told and not silent:
                alert.told = True
                changes.append(Change(alert=alert, event="firing", at=now))
        for key in [key for key in self.known if key not in holding]:
            if self._hold_until.get(key, now) > now:
                continue
            alert = self.known.pop(key)
            self._hold_until.pop(key, None)
            if alert.told:
                changes.append(Change(alert=alert, event="resolved", at=now))
        return changes

    def firing(self) -> list[Alert]:
        """Return what fires."""
        return [alert for alert in self.known.values() if alert.state == "firing"]
