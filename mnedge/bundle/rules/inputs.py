"""Rules about how inputs are checked."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.inputs import compile_pattern
from mnedge.bundle.problem import At
from mnedge.bundle.rules.registry import ERROR, Found, rule
from mnedge.bundle.subject import JsonObject, Subject, is_text


def rules_in(subject: Subject) -> Iterator[tuple[At, JsonObject]]:
    """Yield each input rule that is an object, with its place."""
    declared = input_validation_of(subject)
    if declared is None:
        return
    at, value = declared
    if isinstance(value, dict):
        at, value = (*at, "rules"), value.get("rules")
    if isinstance(value, list):
        for index, entry in enumerate(value):
            if isinstance(entry, dict):
                yield (*at, index), entry


def input_validation_of(subject: Subject) -> tuple[At, Any] | None:
    """Return where the input rules stand, and what stands there; the first that is not empty."""
    places: list[tuple[At, Any]] = [
        (("input_validation",), subject.manifest.get("input_validation")),
        (("inputValidation",), subject.manifest.get("inputValidation")),
        (("metadata", "input_validation"), subject.metadata.get("input_validation")),
        (("metadata", "inputValidation"), subject.metadata.get("inputValidation")),
    ]
    present = [place for place in places if place[1] is not None]
    filled = [place for place in present if place[1]]
    return next(iter(filled or present), None)


@rule(
    "I-01",
    ERROR,
    "*",
    "input.validation_shape",
    "input_validation must be an object with a rules list, or a list of rules",
    help='write {"rules": [{"type": "pattern", "path": "inputs.x", "pattern": "…"}]}',
)
def validation_has_a_shape(subject: Subject) -> Iterator[Found]:
    """Yield if the declaration, its list or a rule has the wrong type."""
    declared = input_validation_of(subject)
    if declared is None:
        return
    at, value = declared
    if isinstance(value, dict):
        if "rules" not in value:
            return
        at, value = (*at, "rules"), value["rules"]
    if not isinstance(value, list):
        yield Found(at=at, message=f"{at[-1]} must be a list", expected="a list", actual=value)
        return
    for index, entry in enumerate(value):
        if not isinstance(entry, dict):
            yield Found(
                at=(*at, index),
                message=f"input rule number {index + 1} must be an object",
                expected="an object",
                actual=entry,
            )


@rule(
    "I-02",
    ERROR,
    "*",
    "input.rule_type",
    "an input rule must be of type pattern or command",
    help='set "type" to pattern or command',
)
def rules_have_a_type(subject: Subject) -> Iterator[Found]:
    """Yield each rule of an unknown type."""
    for at, entry in rules_in(subject):
        if entry.get("type") not in ("pattern", "command"):
            yield Found(at=(*at, "type"), expected=["pattern", "command"], actual=entry.get("type"))


@rule(
    "I-03",
    ERROR,
    "*",
    "input.pattern",
    "a pattern rule needs a path and a valid regular expression",
    help='write {"type": "pattern", "path": "inputs.payload.x", "pattern": "^[a-z]+$"}',
)
def patterns_compile(subject: Subject) -> Iterator[Found]:
    """Yield each pattern rule that cannot be applied."""
    for at, entry in rules_in(subject):
        if entry.get("type") != "pattern":
            continue
        path = entry.get("path") or entry.get("input")
        if not is_text(path):
            yield Found(
                at=(*at, "path"),
                message="a pattern rule needs a path",
                expected="a text",
                actual=path,
            )
        pattern = entry.get("pattern")
        reason = compile_pattern(pattern) if is_text(pattern) else "must be a non-empty text"
        if isinstance(reason, str):
            yield Found(
                at=(*at, "pattern"),
                message=f"the pattern {reason}",
                expected="a regular expression",
                actual=pattern,
            )


@rule(
    "I-04",
    ERROR,
    "*",
    "input.command",
    "a command rule needs a command",
    help='write {"type": "command", "command": ["python3", "check.py"]}',
)
def commands_are_there(subject: Subject) -> Iterator[Found]:
    """Yield each command rule without a command."""
    for at, entry in rules_in(subject):
        command = entry.get("command")
        is_list = isinstance(command, list) and bool(command) and all(map(is_text, command))
        if entry.get("type") == "command" and not is_text(command) and not is_list:
            yield Found(at=(*at, "command"), expected="a text or a list of texts", actual=command)
