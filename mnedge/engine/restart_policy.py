"""Restart policies of agents: how often, how soon, and what when that is used up.

Source: worker contract 5.6, bundle format 2.9.7.
"""

from typing import Any

from msgspec import Struct

from mnedge.engine.settings import mapping, whole
from mnedge.model.manifest import Agent, JobSpec

_DAY_MS = 86_400_000
_FUNCTIONS = ("constant", "exponential", "fibonacci")


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """When a crashed agent is started again.

    Units: milliseconds, as manifests and events have them.
    """

    enabled: bool
    attempts: int
    interval_ms: int
    delay_ms: int
    delay_function: str
    max_delay_ms: int
    mode: str
    """When the attempts of an interval are used up: `fail`, or `delay` until one ages out."""
    declared: bool
    """The manifest says something about restarts, so a returned error is restarted too."""

    def delay_before(self, attempt: int) -> int:
        """Return the wait before the `attempt`th restart (from 1) in milliseconds."""
        match self.delay_function:
            case "constant":
                wait = self.delay_ms
            case "fibonacci":
                wait = self.delay_ms * _fibonacci(min(attempt, 90))
            case _:
                wait = self.delay_ms << min(attempt - 1, 62)
        return min(wait, self.max_delay_ms)

    def shown(self) -> dict[str, Any]:
        """Return the policy as events have it."""
        return {
            "enabled": self.enabled,
            "attempts": self.attempts,
            "interval_ms": self.interval_ms,
            "delay_ms": self.delay_ms,
            "delay_function": self.delay_function,
            "max_delay_ms": self.max_delay_ms,
            "mode": self.mode,
        }


def _fibonacci(n: int) -> int:
    before, value = 0, 1
    for _ in range(n - 1):
        before, value = value, before + value
    return value


def restart_policy(spec: JobSpec, agent: Agent) -> RestartPolicy:
    """Return the agent's policy: its own fields, else the job's, else its type's defaults."""
    on_job, on_agent = mapping(spec.policies.get("restart")), mapping(agent.policies.get("restart"))
    declared = {**on_job, **on_agent}
    service = spec.job_type in ("service", "system")
    manual = spec.recovery_mode == "manual_recover"
    most = whole(spec.policies.get("max_agent_restart_attempts"), at_least=0)
    attempts = whole(declared.get("attempts"), at_least=0)
    if attempts is None:
        attempts = 0 if manual else 3 if most is None else most
    function, mode = declared.get("delay_function"), declared.get("mode")
    waits = service and spec.recovery_mode != "cluster_recover"
    enabled = declared.get("enabled")
    return RestartPolicy(
        enabled=enabled if isinstance(enabled, bool) else attempts > 0,
        attempts=attempts,
        interval_ms=whole(declared.get("interval_ms"), at_least=1)
        or (600_000 if service else _DAY_MS),
        delay_ms=_or(whole(declared.get("delay_ms"), at_least=0), 1000),
        delay_function=function if function in _FUNCTIONS else "exponential",
        max_delay_ms=_or(whole(declared.get("max_delay_ms"), at_least=0), 30_000),
        mode=mode if mode in ("fail", "delay") else "delay" if waits else "fail",
        declared=bool(declared),
    )


def recent(starts: list[float], *, now: float, interval_ms: int) -> list[float]:
    """Return the restarts that still count: those within the interval that ends now."""
    return [at for at in starts if at > now - interval_ms / 1000]


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
