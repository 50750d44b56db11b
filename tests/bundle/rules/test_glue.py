"""Agents that hold a step together, wrongly set."""

import pytest

from mnedge.bundle.rules import glue
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, good

AT = "agents.nodes[4].config"


def glued(kind, **config):
    def edit(p: Parts):
        p.manifest["agents"]["nodes"].append(
            {"node_id": "g", "agent_type": kind, "type": "generic", "config": config}
        )
        p.manifest["agents"]["edges"].append(
            {"edge_id": "e9", "from_node": "intake", "to_node": "g", "message_type": "x"}
        )
        p.settings("intake").pop("emit_type")

    return edit


def source(**config):
    return glued("step_source", **{"step_id": "read", **config})


def join(**config):
    return glued("step_join", **{"expected_sources": ["reader"], **config})


C = "as_workflow"

CASES = [
    Case("N-43", glued("step_sink"), f"{AT}.step_id", "step_id of g is required", form=C),
    Case("N-43", source(required_upstreams="x"), f"{AT}.required_upstreams", "texts", form=C),
    Case("N-43", source(schema=[]), f"{AT}.schema", "must be an object", form=C),
    Case("N-43", source(schema={"type": "array"}), f"{AT}.schema.type", "must be object", form=C),
    Case("N-43", source(schema={"required": "a"}), f"{AT}.schema.required", "texts", form=C),
    Case("N-43", source(fields=[]), f"{AT}.fields", "must be an object", form=C),
    Case(
        "N-43",
        source(fields={"a": {"b": [{"$ref": "weather"}]}}),
        f"{AT}.fields.a.b[0].$ref",
        "no source of values",
        ["run_input", "upstream", "flow_output"],
        form=C,
    ),
    Case(
        "N-43",
        source(fields={"a": {"$ref": "upstream"}}),
        f"{AT}.fields.a.step_id",
        "is required",
        form=C,
    ),
    Case(
        "N-43",
        source(fields={"a": {"$ref": "run_input", "path": "x"}}),
        f"{AT}.fields.a.path",
        "list of keys",
        form=C,
    ),
    Case("N-43", glued("step_join"), f"{AT}.expected_sources", "who is waited for", form=C),
    Case("N-43", join(completion_mode="last"), f"{AT}.completion_mode", "all or first", form=C),
    Case("N-43", join(passthrough=1), f"{AT}.passthrough", "must be a boolean", form=C),
    Case("N-43", join(output_keys=[]), f"{AT}.output_keys", "must be an object", form=C),
    Case("N-43", join(failure_reason=3), f"{AT}.failure_reason", "must be a text", form=C),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(glue, CASES)


@pytest.mark.parametrize(
    "edit",
    [
        source(fields={"a": {"$ref": "run_input", "path": ["b", 0]}}, schema={"required": ["a"]}),
        join(output_keys={"reader": "r"}),
        glued("step_join", completion_mode="first", passthrough=True),
        glued("step_join", fail_on_message=True, failure_reason="bounded loop exhausted"),
    ],
)
def test_glue_in_which_everything_is_right_has_no_problems(edit):
    parts = good(C)
    edit(parts)
    assert parts.opened("strict").problems == []
