"""Input skills: sources outside that a blueprint wants to be read for it.

Source: bundle format 5.4.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from mnedge.bundle.config import JsonObject, filled
from mnedge.bundle.problem import At, Problem, Severity
from mnedge.bundle.subject import is_text, listing, mapping
from mnedge.errors import UsageError

HOMES: tuple[tuple[str, ...], ...] = (("input_skills",), ("inputs", "skills"))
FAKE = ("MN_BLUEPRINT_FAKE_SKILLS", "OTTERDESK_FAKE_SKILLS", "MN_BLUEPRINT_QUICK_TEST")
ANY = "*"
EVENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_OURS = frozenset(
    {
        "connector", "description", "direction", "enabled", "event_types", "events", "fixture",
        "kind", "live", "mock", "package", "purpose", "required", "runtime", "skill", "to",
        "transport",
    }
)  # fmt: skip
"""Members of an entry that are not for its connector."""
_ENV = "_env"
_TAKEN = ("agent_", "backpressure_", "budget_", "human_", "job_", "run_", "step_", "workflow_")
"""How the types of our own events begin."""
_NO = frozenset({"", "0", "false", "no", "off"})


class InputSkill(Struct, frozen=True, kw_only=True):
    """One enabled entry."""

    name: str
    at: At
    skill: str
    connector: str
    """Empty: the blueprint's own workers read it."""
    settings: JsonObject
    live: bool = False
    required: bool = False
    mock: bool = False
    """It is not read in this run."""
    fixture: Any = None
    """What it brings then."""
    events: dict[str, str] = field(default_factory=dict)
    to: list[str] = field(default_factory=list)


class VariableMissingError(UsageError):
    """A setting names a variable of the environment that is not set."""

    code = "input.variable_missing"


def input_skills(config: JsonObject, environ: Mapping[str, str]) -> list[InputSkill]:
    """Return what the config wants read, in its order; what is not enabled is left out."""
    mocked = is_mocked(config, environ)
    found: dict[str, InputSkill] = {}
    for at in HOMES:
        section: Any = config
        for name in at:
            section = mapping(section).get(name)
        for name, entry in mapping(section).items():
            if isinstance(entry, dict) and entry.get("enabled") is not False:
                found.setdefault(name, _skill(name, (*at, name), entry, mocked=mocked))
    return list(found.values())


def is_mocked(config: JsonObject, environ: Mapping[str, str]) -> bool:
    """Tell whether the run touches nothing outside."""
    mode = config.get("mode")
    mode = mode.get("default") if isinstance(mode, dict) else mode
    return mode == "mock" or any(environ.get(name, "").strip().lower() not in _NO for name in FAKE)


def _skill(name: str, at: At, entry: JsonObject, *, mocked: bool) -> InputSkill:
    return InputSkill(
        name=name,
        at=at,
        skill=entry["skill"] if is_text(entry.get("skill")) else "",
        connector=entry["connector"] if is_text(entry.get("connector")) else "",
        settings={key: value for key, value in entry.items() if key not in _OURS},
        live=entry.get("live") is True,
        required=entry.get("required") is True,
        mock=mocked or entry.get("mock") is True,
        fixture=entry.get("fixture"),
        events=_events(entry.get("events")),
        to=[entry["to"]] if is_text(entry.get("to")) else list(filter(is_text, _list(entry, "to"))),
    )


def _list(entry: JsonObject, key: str) -> list[Any]:
    return listing(entry.get(key))


def _events(declared: Any) -> dict[str, str]:
    """Return what happened → event type; a list names types without saying when."""
    if isinstance(declared, dict):
        named = {key: value for key, value in declared.items() if is_text(value)}
    else:
        named = {value: value for value in listing(declared) if is_text(value)}
    if len(set(named.values())) == 1:
        named[ANY] = next(iter(named.values()))
    return named


def event_of(events: Mapping[str, str], said: str) -> str:
    """Return the event type for what a connector says happened."""
    if said in events:
        return events[said]
    if said in events.values():
        return said
    return events.get(ANY) or events.get("on_change") or said


def event_problems(skill: InputSkill) -> list[str]:
    """Return what is wrong with the event types that a live input skill declares."""
    return [
        f"{value!r} cannot be an event type: write snake_case, and none of {', '.join(_TAKEN)}*"
        for value in dict.fromkeys(skill.events.values())
        if not is_event(value)
    ]


def is_event(name: str) -> bool:
    """Tell whether a source may bring events of this type."""
    return EVENT.fullmatch(name) is not None and not name.startswith(_TAKEN)


def resolved(settings: JsonObject, config: JsonObject, environ: Mapping[str, str]) -> JsonObject:
    """Return the settings as a connector gets them: places filled, variables replaced.

    `auth_env: NAME` becomes `auth` with the variable's value; `headers_env: {X: NAME}` joins
    `headers`.
    Raises: VariableMissingError naming the variable, never its value.
    """
    result: JsonObject = {}
    for key, value in filled(settings, config, environ).items():
        plain = key.removesuffix(_ENV)
        if plain == key or not plain:
            result.setdefault(key, value)
        elif isinstance(value, dict):
            values = {name: _variable(key, named, environ) for name, named in value.items()}
            result[plain] = {**mapping(result.get(plain)), **values}
        else:
            result[plain] = _variable(key, value, environ)
    return result


def _variable(key: str, name: Any, environ: Mapping[str, str]) -> str:
    value = environ.get(name, "") if is_text(name) else ""
    if not value:
        raise VariableMissingError(
            f"{key} names the variable {name!r}, which is not set",
            hint="set it in the environment of mnedge, or disable the input skill",
        )
    return value


def skill_problem(skill: InputSkill, message: str, help_: str = "") -> Problem:
    """Return the error that an input skill refuses the run with."""
    return Problem(
        rule="I-05",
        code="input.skill",
        severity=Severity.ERROR,
        message=f"input skill {skill.name}: {message}",
        help=help_ or f"mend {'.'.join(map(str, skill.at))}, or set enabled to false",
        file="config/default.json",
        at=skill.at,
    )
