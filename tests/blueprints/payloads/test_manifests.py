"""What the bundles promise about themselves, whatever runs them."""

import json
import shlex

import pytest

ALL = [
    "clock_source",
    "closed_loop_lab",
    "cold_store_check",
    "field_survey",
    "leak_search",
    "live_telemetry",
    "message_routing_trace",
    "meter_readout",
    "picture_sync",
    "position_fix",
    "prime_range_scan",
    "probe_vote",
    "readings_backup",
    "rig_session",
    "sample_triage",
    "setting_rollout",
    "shipment_import",
    "text_report_pipeline",
    "tide_table",
]


def found(value, path):
    """Return what stands at a dotted path; a list segment is an index or a node's id."""
    for segment in path.split("."):
        if isinstance(value, list):
            named = {item["node_id"]: item for item in value if "node_id" in item}
            value = named[segment] if segment in named else value[int(segment)]
        else:
            value = value[segment]
    return value


@pytest.mark.parametrize("name", ALL)
def test_every_command_names_a_script_that_is_staged(bench, name):
    blueprint = bench(name)
    for agent_id in blueprint.executors()[:5]:
        _, workdir = blueprint.staged(agent_id)
        config = blueprint.agents[agent_id]["config"]
        command = config["command"]
        _, script, *arguments = shlex.split(command) if isinstance(command, str) else command
        if script == "-m":  # the step runtime, which calls the handler
            script = config["environment"]["MN_WORKFLOW_STEP_HANDLER"].replace(".", "/") + ".py"
        files = [script, *(argument for argument in arguments if "/" in argument)]
        assert all((workdir / file).is_file() for file in files), agent_id


@pytest.mark.parametrize("name", ALL)
def test_every_worker_may_note_its_launches(bench, name):
    agents = bench(name).agents.values()
    workers = [agent for agent in agents if agent["agent_type"] in ("executor", "module")]
    assert all(agent["config"]["pass_env"] == ["MNEDGE_LAUNCH_LOG"] for agent in workers)


@pytest.mark.parametrize("name", ALL)
def test_a_bound_value_is_the_same_in_config_and_manifest(bench, name):
    blueprint = bench(name)
    for binding in blueprint.config["manifest_config_bindings"]:
        given = found(blueprint.config, binding["config_path"])
        expected = str(given) if binding.get("stringify") else given
        assert found(blueprint.manifest, binding["manifest_path"]) == expected


@pytest.mark.parametrize("name", ALL)
def test_every_handoff_travels_an_edge_that_exists(bench, name):
    blueprint = bench(name)
    edges = {
        (edge["from_node"], edge["message_type"], edge["to_node"])
        for edge in blueprint.listed("edges")
    }
    handoffs = blueprint.config["agent_handoffs"].values()
    assert {(h["producer"], h["message_type"], h["consumer"]) for h in handoffs} <= edges


def test_the_catalogue_mirrors_the_manifests(bench):
    catalogue = bench(ALL[0]).folder.parent
    rows = json.loads((catalogue / "index.json").read_text())["blueprints"]
    for row in rows:
        manifest = bench(row["id"]).manifest
        metadata, product = manifest["metadata"], row["product"]
        assert (row["id"], row["path"]) == (metadata["blueprint_id"], row["id"])
        for key in ("name", "category", "description"):
            assert row[key] == metadata[key]
        graph_id = manifest.get("graph_id") or manifest["workflow"]["workflow_id"]
        assert (row["graph_id"], row["job_name"]) == (graph_id, manifest["job_name"])
        assert product["problem"] == metadata["problem_solved"]
        assert product["output"] == metadata["output"]
        assert product["target_users"] == metadata["target_user"]
        assert product["runtime_features"] == metadata["runtime_features"]
    groups = json.loads((catalogue / "category.json").read_text())["categories"]
    listed = [name for group in groups for name in group["blueprints"]]
    folders = [folder.name for folder in catalogue.iterdir() if folder.is_dir()]
    assert sorted(listed) == sorted(row["id"] for row in rows) == sorted(folders) == ALL
