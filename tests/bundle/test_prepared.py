import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.bundle.prepared import BlobRef, is_here, is_prepared, plain

CONFIG = {"identity": {"blueprint_id": "demo", "run_id": "demo-1"}, "inputs": {"payload": {"n": 1}}}
BAKED = {
    "MN_RUN_ID": "demo-1",
    "MN_JOB_ID": "job_d-1",
    "MN_ATTEMPT_ID": "demo-1:1",
    "MN_RUNS_ROOT": "/client/runs",
    "MN_RUN_DIR": "/client/runs/demo-1",
    "MN_JOB_INPUT_DIR": "/client/in",
    "MN_JOB_OUTPUT_DIR": "/client/out",
    "MN_JOB_DATA_DIR": "/client/data",
    "MN_JOB_SHARED_STORAGE_ROOT": "/client/shared",
    "MN_STORAGE_SUBMISSION_ID": "sub",
    "MIRROR_NEURON_RUN_ID": "demo-1",
}
HERE = {"attribute": "node.name", "operator": "==", "value": "mnedge@box"}


def an_agent(name="one", **environment):
    return {
        "node_id": name,
        "agent_type": "router",
        "config": {
            "environment": {**BAKED, "MN_BLUEPRINT_CONFIG_JSON": text(CONFIG)} | environment
        },
        "constraints": [HERE],
        "policies": {"scheduler": {"preferred_node": "mnedge@box"}},
    }


def text(value):
    return json.dumps(value)


def a_manifest(*agents, **more):
    return {
        "graph_id": "demo",
        "nodes": list(agents or [an_agent()]),
        "edges": [],
        "metadata": {"blueprint_id": "demo", "mn_storage": {"version": "mn.shared_storage/v1"}},
        **more,
    }


def test_what_the_client_baked_in_for_its_run_is_taken_out():
    done = plain(a_manifest(an_agent(OWN="stays", MN_LLM_MODEL="stays")), node="box")
    (agent,) = done.manifest["nodes"]
    assert agent == {
        "node_id": "one",
        "agent_type": "router",
        "config": {"environment": {"OWN": "stays", "MN_LLM_MODEL": "stays"}},
    }
    assert done.problems == []
    assert done.blueprint_id == "demo"


def test_the_config_that_every_agent_carries_becomes_the_config_of_the_bundle():
    done = plain(a_manifest(an_agent("one"), an_agent("two")), node="box")
    assert done.config == {"identity": {"blueprint_id": "demo"}, "inputs": CONFIG["inputs"]}
    assert "CONFIG_JSON" not in text(done.manifest)


def test_an_agent_with_a_config_of_its_own_keeps_it():
    own = text({"mine": True})
    two = an_agent("two", MN_BLUEPRINT_CONFIG_JSON=own)
    done = plain(a_manifest(an_agent("one"), two), node="box")
    environments = [agent["config"].get("environment") for agent in done.manifest["nodes"]]
    assert environments == [None, {"MN_BLUEPRINT_CONFIG_JSON": own}]


@pytest.mark.parametrize("written", ["{", "[]", "", 7])
def test_a_config_that_cannot_be_read_stays_where_it_is(written):
    agent = an_agent(MN_BLUEPRINT_CONFIG_JSON=written)
    done = plain(a_manifest(agent), node="box")
    assert done.config == {}
    kept = done.manifest["nodes"][0]["config"]["environment"]
    assert kept == {"MN_BLUEPRINT_CONFIG_JSON": written}


def test_a_manifest_that_no_client_prepared_stays_as_it_is():
    manifest = a_manifest(an_agent())
    del manifest["metadata"]["mn_storage"], manifest["nodes"][0]["constraints"]
    del manifest["nodes"][0]["policies"]
    before = deepcopy(manifest)
    done = plain(manifest, node="box")
    assert not is_prepared(manifest)
    assert done.manifest == before == manifest


def test_the_second_copy_of_the_graph_goes_only_if_it_is_one():
    step = {"id": "go", "run": "go"}
    manifest = a_manifest(
        agents={"nodes": [an_agent()], "edges": []},
        workflow={"steps": [step]},
        flow={"nodes": [an_agent()], "steps": [step], "edges": []},
    )
    del manifest["nodes"], manifest["edges"]
    assert "flow" not in plain(manifest, node="box").manifest
    manifest["flow"]["steps"] = [{**step, "label": "another"}]
    assert "flow" in plain(manifest, node="box").manifest


@pytest.mark.parametrize(
    "operator, value, met",
    [
        ("==", "mnedge@box", True),
        ("==", "box", True),
        ("=", "mirror_neuron@box", True),
        ("==", "mnedge@shed", False),
        ("!=", "mnedge@shed", True),
        ("!=", "box", False),
        ("in", ["shed", "box"], True),
        ("in", ["shed"], False),
        ("==", None, False),
    ],
)
def test_a_constraint_on_the_nodes_name_is_met_or_refused(operator, value, met):
    agent = an_agent()
    agent["constraints"] = [{"attribute": "node.name", "operator": operator, "value": value}]
    done = plain(a_manifest(agent), node="box")
    assert (done.problems == []) is met
    assert "constraints" not in done.manifest["nodes"][0]
    if not met:
        assert done.problems[0].path == "nodes[0].constraints[0]"
        assert done.problems[0].expected == "box"


def test_constraints_on_other_things_stay():
    agent = an_agent()
    other = {"attribute": "gpu.vendor", "operator": "==", "value": "any"}
    agent["constraints"] = [HERE, other]
    agent["policies"]["scheduler"]["job_type"] = "batch"
    (kept,) = plain(a_manifest(agent), node="box").manifest["nodes"]
    assert kept["constraints"] == [other]
    assert kept["policies"] == {"scheduler": {"job_type": "batch"}}


def test_a_node_is_known_with_and_without_what_stands_before_its_name():
    assert is_here("mnedge@box", "box")
    assert is_here("box", "mnedge@box")
    assert not is_here("box2", "box")
    assert not is_here("", "box")


def test_blobs_are_named_by_path_and_hash_and_one_without_a_hash_is_told():
    refs = [
        {"payload_path": "model/big.bin", "sha256": "a" * 64, "size_bytes": 5},
        {"sha256": "b" * 64},
        {"payload_path": "model/other.bin", "sha256": "short"},
    ]
    manifest = a_manifest()
    manifest["metadata"]["mn_artifacts"] = {"blob_refs": refs}
    done = plain(manifest, node="box")
    assert done.blobs == [BlobRef(path="model/big.bin", sha256="a" * 64, size_bytes=5)]
    (problem,) = done.problems
    assert problem.path == "metadata.mn_artifacts.blob_refs[2].sha256"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
members = st.sampled_from(
    ["nodes", "edges", "agents", "flow", "workflow", "metadata", "constraints", "policies"]
)


@given(st.dictionaries(members, json_values), st.lists(json_values, max_size=3))
def test_no_manifest_however_odd_raises_or_is_changed(manifest, nodes):
    odd = {
        **manifest,
        "nodes": [*nodes, {"node_id": "x", "config": {"environment": 3}, "constraints": nodes}],
        "metadata": {"mn_storage": {}, "mn_artifacts": {"blob_refs": nodes}},
    }
    before = deepcopy(odd)
    plain(odd, node="box")
    assert odd == before
