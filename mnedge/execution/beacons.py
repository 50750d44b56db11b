"""Signs of life of one run: the runtime's own, and those the worker prints. Pure but for the clock.

A beacon becomes a note only if its status changed or half its timeout has passed since the last one
of that source: an idle worker shall not fill a journal. Source: worker contract 3.11.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from mnedge.execution.environment import positive, text_of, truthy
from mnedge.model.message import iso_ms

SCHEMA = "mn.agent.beacon.v1"
BEACON_PREFIX = "__MN_AGENT_BEACON__"
EVENT_PREFIX = "__MN_EVENT__"
DEFAULT_INTERVAL_MS = 15_000
DEFAULT_TIMEOUT_MS = 45_000


class BeaconSettings(Struct, frozen=True, kw_only=True):
    """What an agent's config says about beacons."""

    enabled: bool
    required: bool
    interval_s: float
    timeout_s: float
    beacon_prefix: bytes
    event_prefix: bytes


def beacon_settings(config: Mapping[str, Any], heartbeat_timeout_ms: Any = None) -> BeaconSettings:
    """Return the settings, defaults filled in; a step may allow less silence than the default."""
    step_ms = positive(heartbeat_timeout_ms) or DEFAULT_TIMEOUT_MS
    timeout_ms = positive(config.get("beacon_timeout_ms")) or min(step_ms, DEFAULT_TIMEOUT_MS)
    return BeaconSettings(
        enabled=truthy(config.get("beacon_enabled")),
        required=truthy(config.get("agent_beacon_required")),
        interval_s=(positive(config.get("beacon_interval_ms")) or DEFAULT_INTERVAL_MS) / 1000,
        timeout_s=timeout_ms / 1000,
        beacon_prefix=_prefix(config.get("agent_beacon_stdout_prefix"), BEACON_PREFIX),
        event_prefix=_prefix(config.get("agent_event_stdout_prefix"), EVENT_PREFIX),
    )


def _prefix(value: Any, default: str) -> bytes:
    return (value if isinstance(value, str) and value.strip() else default).encode()


class Identity(Struct, frozen=True, kw_only=True):
    """Whose beacons these are."""

    job_id: str
    agent_id: str
    step: str
    attempt: int


def beacon_variables(settings: BeaconSettings, identity: Identity) -> dict[str, str]:
    """Return what a worker needs to know to print beacons."""
    if not settings.enabled:
        return {}
    values: dict[str, Any] = {
        "STDOUT_PREFIX": settings.beacon_prefix.decode(),
        "INTERVAL_MS": round(settings.interval_s * 1000),
        "TIMEOUT_MS": round(settings.timeout_s * 1000),
        "REQUIRED": int(settings.required),
        "JOB_ID": identity.job_id,
        "AGENT_ID": identity.agent_id,
        "ATTEMPT": identity.attempt,
        "STEP": identity.step,
        "SOURCE": "agent",
    }
    return {f"MN_AGENT_BEACON_{name}": text_of(value) for name, value in values.items()}


class Beacons:
    """Counts, times and thins the beacons of one run."""

    def __init__(
        self,
        settings: BeaconSettings,
        identity: Identity,
        *,
        elapsed_s: Callable[[], float],
        date: Callable[[], float],
        tell: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self.settings = settings
        self._identity = identity
        self._elapsed_s = elapsed_s
        self._date = date
        self._tell = tell
        self._sequence = 0
        self._agent_at: float | None = None
        self._told: dict[str, tuple[str, float]] = {}
        self.last: dict[str, Any] | None = None
        """The newest beacon of the worker."""

    def from_runtime(self, status: str) -> None:
        """The runtime says how the run stands: `started`, `working` or `completed`."""
        self._publish(self._payload("runtime", status, {}))

    def from_agent(self, said: dict[str, Any] | str) -> None:
        """The worker printed a beacon: an object, or just a text."""
        members = said if isinstance(said, dict) else {"message": said}
        status = members.get("status")
        payload = self._payload("agent", status if isinstance(status, str) else "working", members)
        self._agent_at = self._elapsed_s()
        self.last = payload
        self._publish(payload)

    def missed(self) -> dict[str, Any]:
        """The worker was silent for too long; return the beacon that says so."""
        payload = self._payload("runtime", "missed", {})
        self._tell("agent_beacon_missed", payload)
        return payload

    def _payload(self, source: str, status: str, members: dict[str, Any]) -> dict[str, Any]:
        self._sequence += 1
        elapsed_s = self._elapsed_s()
        since = None if self._agent_at is None else _ms(elapsed_s - self._agent_at)
        return {
            **members,
            "schema": SCHEMA,
            "job_id": self._identity.job_id,
            "agent_id": self._identity.agent_id,
            "step": self._identity.step,
            "attempt": self._identity.attempt,
            "source": source,
            "status": status,
            "sequence": self._sequence,
            "message": members.get("message", ""),
            "interval_ms": _ms(self.settings.interval_s),
            "timeout_ms": _ms(self.settings.timeout_s),
            "elapsed_ms": _ms(elapsed_s),
            "ms_since_last_agent_beacon": since,
            "emitted_at": iso_ms(self._date()),
        }

    def _publish(self, payload: dict[str, Any]) -> None:
        source, status, now = payload["source"], payload["status"], self._elapsed_s()
        told = self._told.get(source)
        if told is None or told[0] != status or now - told[1] >= self.settings.timeout_s / 2:
            self._told[source] = (status, now)
            self._tell("agent_beacon", payload)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
