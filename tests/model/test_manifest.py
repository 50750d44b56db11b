"""What a lowered manifest says by default."""

import pytest

from mnedge.model.codec import decode_spec, encode_spec
from mnedge.model.manifest import Agent, Edge, JobSpec
from mnedge.model.states import AgentKind


def spec(**more):
    return JobSpec(
        blueprint_id="b",
        graph_id="g",
        job_name="j",
        agents=[Agent(agent_id="a", kind=AgentKind.ROUTER)],
        edges=[Edge(edge_id="e", sender="a", target="a", message_type="*")],
        entrypoints=["a"],
        seeds={"a": [{}]},
        **more,
    )


@pytest.mark.parametrize(
    "policies, mode",
    [
        ({}, "local_restart"),
        ({"recovery_mode": None}, "local_restart"),
        ({"recovery_mode": "manual_recover"}, "manual_recover"),
    ],
)
def test_the_recovery_mode_has_a_default(policies, mode):
    assert spec(policies=policies).recovery_mode == mode


def test_a_spec_outlives_its_record():
    one = spec(config={"deep": [1, {"x": None}]}, scenario={"steps": 2})
    assert decode_spec(encode_spec(one)) == one
