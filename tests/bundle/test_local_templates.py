"""Templates that a bundle brings along."""

import json

import pytest

from mnedge.bundle.files import ListedFiles
from mnedge.bundle.local_templates import INDEX, UNSEEN, LocalTemplates, template_from
from mnedge.bundle.templates import Template

PLACE = "payloads/agents/gauge_agent/src/resources/agent.json"
DOCUMENT = {
    "template_id": "river.reader",
    "defaults": {
        "agent_type": "executor",
        "type": "map",
        "script": "read.py",
        "runner_module": "MirrorNeuron.Runner.HostLocal",
        "pool": "gauges",
    },
    "required_inputs": ["gauge"],
    "required_unless_command": ["upload_path"],
}
ENTRY = {
    "template_id": "river.reader",
    "version": "1.0.0",
    "package_kind": "runtime_node",
    "resource_path": "gauge_agent/src/resources/agent.json",
}


def found(name="river.reader", version="1", *, document=DOCUMENT, **entry):
    files = {
        INDEX: json.dumps({"agents": [3, {**ENTRY, **entry}]}).encode(),
        PLACE: document if isinstance(document, bytes) else json.dumps(document).encode(),
    }
    return LocalTemplates(ListedFiles([], files)).named(name, version)


def test_a_template_of_the_bundle_is_found_by_name_and_version():
    assert found() == Template(
        agent_type="executor",
        type="map",
        defaults={name: v for name, v in DOCUMENT["defaults"].items() if name != "type"},
        required=("gauge",),
        unless_command=("upload_path",),
        python=True,
    )
    assert found(version="v1.0") == found()
    assert found(version="2") is None
    assert found(name="other") is None


@pytest.mark.parametrize(
    "entry",
    [
        {"template_id": None, "agent_id": "river.reader"},
        {"resource_path": None, "path": "agents/gauge_agent/src/resources/agent.json"},
        {"resource_path": PLACE},
        {"resource_path": "gauge_agent"},
        {"resource_path": "gauge_agent/src"},
        {"package_kind": "runtime_node"},
    ],
)
def test_an_entry_may_name_its_template_in_several_ways(entry):
    assert found(**entry) is not None


@pytest.mark.parametrize(
    "entry",
    [
        {"package_kind": "library"},
        {"resource_path": "../manifest.json"},
        {"resource_path": "gone"},
        {"resource_path": "gauge_agent/src/resources/gone.json"},
        {"resource_path": 3},
        {"template_id": 3},
    ],
)
def test_an_entry_that_leads_nowhere_has_no_template(entry):
    assert found(**entry) is None


@pytest.mark.parametrize("document", [b"{", [], {}, {"defaults": {"agent_type": 3}}])
def test_a_template_that_cannot_be_read_is_none(document):
    assert found(document=document) is None


def test_a_bundle_without_an_index_has_no_templates():
    assert LocalTemplates(ListedFiles([])).named("river.reader", "1") is None
    broken = LocalTemplates(ListedFiles([], {INDEX: b"["}))
    assert broken.named("river.reader", "1") is None


def test_what_is_not_at_hand_is_taken_for_a_python_worker():
    assert LocalTemplates(ListedFiles([INDEX])).named("any", "1") is UNSEEN
    index = json.dumps([ENTRY]).encode()
    assert LocalTemplates(ListedFiles([PLACE], {INDEX: index})).named("river.reader", "1") is UNSEEN


def test_the_type_of_the_agent_may_stand_beside_the_defaults():
    made = template_from({"agent_type": "router", "type": "map", "required": ["a", 3]})
    assert made == Template(agent_type="router", type="map", required=("a",))
