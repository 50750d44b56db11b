"""One step of a manifest to the internal representation.

Source: bundle format 2.4.2, 2.7. Of several places that may say a thing, the first that does
counts.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mnedge.bundle.kinds import is_on_host
from mnedge.bundle.subject import (
    AgentEntry,
    JsonObject,
    as_number,
    is_number,
    is_text,
    listing,
    mapping,
)
from mnedge.bundle.triggers import policy_named, trigger_of
from mnedge.model.manifest import Step
from mnedge.model.states import FailurePolicy, TriggerRule

TIMEOUT_S = 300.0
BACKOFF_MS = 1000.0
MULTIPLIER = 2.0
MOST_S = 1e9
MOST_ATTEMPTS = 1_000_000


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a step's meaning depends on besides the step."""

    agents: Mapping[str, AgentEntry]
    join_default: Any = None
    unbounded: str | None = None
    """The step that may run for ever: where a service starts."""


def agent_of(step: JsonObject, agents: Mapping[str, AgentEntry]) -> AgentEntry | None:
    """Return the agent that a step names, or None if it names none that is there."""
    return next((agents[name] for name in agent_names(step) if name in agents), None)


def agent_names(step: JsonObject) -> list[str]:
    """Return the ids under which a step's agent is looked up, in order."""
    return [step[key] for key in ("agent_id", "run", "id") if is_text(step.get(key))]


def agent_ids_of(step: JsonObject, agents: Mapping[str, AgentEntry]) -> list[str]:
    """Return who does the work of a step, the primary agent first; whether they exist or not."""
    given = [name for name in listing(step.get("agent_ids")) if is_text(name)]
    if given:
        return list(dict.fromkeys(given))
    agent = agent_of(step, agents)
    return [agent.agent_id if agent is not None else agent_names(step)[0]]


def step_of(raw: JsonObject, around: Surroundings, repaired: str | None = None) -> Step:
    """Return the step; `repaired` is an agent to take where it names none that is there."""
    step_id = str(raw.get("id"))
    agent = agent_of(raw, around.agents)
    ids = agent_ids_of(raw, around.agents)
    if repaired is not None:
        agent, ids = around.agents[repaired], [repaired]
    control = mapping(raw.get("control"))
    settings = agent.config if agent is not None else {}
    timeout_s = _timeout_s(control, settings, unbounded=step_id == around.unbounded)
    trigger = trigger_of(raw, around.join_default)
    confidence = mapping(control.get("uncertainty"))
    return Step(
        step_id=step_id,
        label=_text(raw.get("label")) or step_id,
        run=_text(raw.get("run")) or step_id,
        kind=_text(raw.get("kind")) or "stage",
        agent_id=agent_names(raw)[0] if agent is None else agent.agent_id,
        agent_ids=ids,
        required=control.get("required") is not False,
        failure_policy=policy_named(control.get("failure_policy")) or FailurePolicy.FAIL_WORKFLOW,
        rule=trigger.rule or TriggerRule.ALL_SUCCESS,
        quorum=trigger.quorum,
        max_attempts=_max_attempts(control, settings),
        retry_backoff_ms=_backoff_ms(control, settings),
        retry_backoff_multiplier=_multiplier(control),
        timeout_s=timeout_s,
        beacon_timeout_ms=_beacon_timeout_ms(control, agent, timeout_s),
        min_confidence=_number(confidence.get("min_confidence")),
        on_low_confidence=_text(confidence.get("on_low_confidence")) or None,
    )


def _timeout_s(control: JsonObject, settings: JsonObject, *, unbounded: bool) -> float | None:
    for holder in (control, settings):
        given = holder.get("timeout_seconds")
        if given is not None:
            number = as_number(given) or 0
            return min(number, MOST_S) if number > 0 else TIMEOUT_S
    return None if unbounded else TIMEOUT_S


def _max_attempts(control: JsonObject, settings: JsonObject) -> int:
    for holder in (mapping(control.get("retry")), control, settings):
        number = as_number(holder.get("max_attempts"))
        if number is not None and number >= 1:
            return int(min(number, MOST_ATTEMPTS))
    return 1


def _backoff_ms(control: JsonObject, settings: JsonObject) -> float:
    for holder in (control, settings):
        number = as_number(holder.get("retry_backoff_ms"))
        if number is not None and number >= 0:
            return min(number, MOST_S * 1000)
    seconds = mapping(control.get("retry")).get("backoff_seconds")
    if not is_number(seconds) or seconds < 0:
        return BACKOFF_MS
    return min(float(seconds), MOST_S) * 1000


def _multiplier(control: JsonObject) -> float:
    given = mapping(control.get("retry")).get("backoff_multiplier")
    return float(given) if is_number(given) and given > 0 else MULTIPLIER


def _beacon_timeout_ms(
    control: JsonObject, agent: AgentEntry | None, timeout_s: float | None
) -> float | None:
    """Return how long an attempt may be silent.

    Only an executor on the host is listened to, so only its own setting counts.
    """
    given = [control.get("beacon_timeout_ms")]
    if agent is not None and is_on_host(agent.rendered):
        given.append(agent.config.get("beacon_timeout_ms"))
    for value in given:
        number = as_number(value)
        if number is not None and number > 0:
            return min(number, MOST_S * 1000)
    return None if timeout_s is None else timeout_s * 1000


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None


def _text(value: Any) -> str:
    return value if is_text(value) else ""
