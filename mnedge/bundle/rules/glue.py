"""The rule about agents that only hold a step together: where it starts, joins and ends.

Source: bundle format 2.6.3, 3.2; worker contract 2.11.
"""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.kinds import kind_of
from mnedge.bundle.problem import At
from mnedge.bundle.rules.agents import name_of
from mnedge.bundle.rules.registry import ERROR, Found, Wrong, rule, value_at
from mnedge.bundle.subject import JsonObject, Subject, is_text
from mnedge.model.states import AgentKind

REFERENCES = ("run_input", "upstream", "flow_output")
_MAX_DEPTH = 64


@rule(
    "N-43",
    ERROR,
    "*",
    "agent.step_glue",
    "the config of a step_source, step_join or step_sink is malformed",
    help="step_source and step_sink need step_id, step_join needs expected_sources; a field is"
    ' {"$ref": "run_input", "path": ["<key>"]}',
)
def glue_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with each agent that starts, joins or ends a step."""
    for agent in subject.agents:
        kind = kind_of(agent.rendered)
        if kind not in (AgentKind.STEP_SOURCE, AgentKind.STEP_JOIN, AgentKind.STEP_SINK):
            continue
        wrong = _wrong_join if kind is AgentKind.STEP_JOIN else _wrong_end
        for below, reason, expected in wrong(agent.config):
            yield Found(
                at=(*agent.at, "config", *below),
                message=f"{'.'.join(map(str, below))} of {name_of(agent)} {reason}"[:300],
                expected=expected,
                actual=value_at(agent.config, below),
            )


def _wrong_end(config: JsonObject) -> Wrong:
    if not is_text(config.get("step_id")):
        yield ("step_id",), "is required", "the id of a step"
    yield from _wrong_texts(config, "required_upstreams")
    schema = config.get("schema")
    if schema is not None and not isinstance(schema, dict):
        yield ("schema",), "must be an object", "an object"
    elif isinstance(schema, dict):
        if schema.get("type", "object") != "object":
            yield ("schema", "type"), "must be object", "object"
        required = schema.get("required")
        if required is not None and not _are_texts(required):
            yield ("schema", "required"), "must be a list of texts", "a list of names"
    fields = config.get("fields")
    if fields is not None and not isinstance(fields, dict):
        yield ("fields",), "must be an object", "names to references"
    else:
        yield from _wrong_references(fields, ("fields",))


def _wrong_join(config: JsonObject) -> Wrong:
    yield from _wrong_texts(config, "expected_sources")
    mode = config.get("completion_mode")
    if mode not in (None, "all", "first"):
        yield ("completion_mode",), "must be all or first", ["all", "first"]
    waits_for_all = mode != "first" and config.get("fail_on_message") is not True
    if waits_for_all and not config.get("expected_sources"):
        yield ("expected_sources",), "must name who is waited for", "a list of agent ids"
    for key in ("passthrough", "fail_on_message"):
        if config.get(key) is not None and not isinstance(config[key], bool):
            yield (key,), "must be a boolean", "true or false"
    keys = config.get("output_keys")
    if keys is not None and not isinstance(keys, dict):
        yield ("output_keys",), "must be an object", "agent ids to names"
    reason = config.get("failure_reason")
    if reason is not None and not isinstance(reason, str):
        yield ("failure_reason",), "must be a text", "a text"


def _wrong_texts(config: JsonObject, key: str) -> Wrong:
    if config.get(key) is not None and not _are_texts(config[key]):
        yield (key,), "must be a list of texts", "a list of ids"


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(is_text(item) for item in value)


def _wrong_references(value: Any, at: At) -> Wrong:
    if len(at) > _MAX_DEPTH:
        yield at, "is nested too deeply", None
    elif isinstance(value, dict) and "$ref" in value:
        if value["$ref"] not in REFERENCES:
            yield (*at, "$ref"), "is no source of values", list(REFERENCES)
        elif value["$ref"] == "upstream" and not is_text(value.get("step_id")):
            yield (*at, "step_id"), "is required", "the id of a step"
        path = value.get("path", [])
        if not isinstance(path, list) or not all(isinstance(p, str | int) for p in path):
            yield (*at, "path"), "must be a list of keys", "a list"
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _wrong_references(item, (*at, key))
