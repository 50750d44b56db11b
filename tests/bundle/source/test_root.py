"""The root and the metadata of what a source expands to."""

from mnedge.bundle.source.root import contract_of, root_of, source_hash
from tests.bundle.source.making import source


def test_the_identity_names_the_manifest():
    made = source(identity={"id": "a_b", "name": "A B", "version": 7, "manifest_version": "1.1"})
    root = root_of(made, "d")
    assert (root["id"], root["name"], root["job_name"]) == ("a_b", "A B", "a-b")
    assert (root["version"], root["manifest_version"]) == (7, "1.1")
    assert root["metadata"]["blueprint_id"] == "a_b"


def test_the_profile_fills_in_what_is_not_said():
    root = root_of(source(), "d")
    assert root["contract"]["outputs"]["primary"]["id"] == "final_artifact"
    assert root["requirements"]["memory"] == {"min_gb": 2}
    assert root["input_validation"] == {"rules": []}


def test_what_is_said_counts_for_more_and_unknown_members_stay():
    made = source(
        requirements={"cpu": 9},
        farm={"cows": 3},
        contracts={"outputs": {"primary": {"path": "x.json"}}},
        manifest={"policies": {"recovery_mode": "auto"}, "farm": {"cows": 1}},
    )
    root = root_of(made, "d")
    assert root["requirements"] == {"cpu": 9}
    assert root["farm"] == {"cows": 3}
    assert root["policies"] == {"recovery_mode": "auto"}
    assert root["contract"]["outputs"]["primary"] | {"version": 1} == {
        "id": "final_artifact",
        "path": "x.json",
        "type": "final_artifact",
        "version": 1,
        "schema_version": "mn.blueprint.final_artifact_contract.v1",
    }
    assert not {"identity", "intent", "contracts", "workflow", "agents"} & set(root)


def test_dependencies_get_the_names_they_have_in_manifests():
    made = source(
        dependencies={
            "skills": [{"name": "s"}],
            "agents": [{"name": "a"}],
            "llm": {"enabled": True},
            "requirements": ["requests"],
        }
    )
    root = root_of(made, "d")
    assert root["skill_dependencies"] == [{"name": "s"}]
    assert root["agent_dependencies"] == [{"name": "a"}]
    assert root["llm"] == {"enabled": True}
    assert root["requirements"]["cpu"] == {"min_cores": 1}
    assert root_of(made | {"llm": {"enabled": False}}, "d")["llm"] == {"enabled": False}


def test_metadata_tells_where_the_manifest_comes_from():
    made = source(metadata={"name": "Other", "blueprint_id": "wrong", "collaboration": 1})
    metadata = root_of(made, "digest")["metadata"]
    assert metadata["blueprint_id"] == "night_watch"
    assert (metadata["name"], metadata["collaboration"]) == ("Other", 1)
    assert (metadata["category"], metadata["problem"]) == ("water", "Nobody is awake.")
    assert metadata["description"] == "Watches the river at night."
    assert metadata["generated_from"] | {"converter_version": ""} == {
        "schema": "mn.workflow.source/v2",
        "profile": "blueprint",
        "profile_version": 1,
        "converter": "mnedge.bundle.source",
        "converter_version": "",
        "target_schema": "mn.workflow/v2",
        "source_hash": "digest",
    }


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert source_hash({"a": 1, "b": "é"}) == source_hash({"b": "é", "a": 1})
    assert source_hash({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_the_contract_has_two_names():
    assert contract_of({"contract": {"a": 1}}) == {"a": 1}
    assert contract_of({"contracts": {"b": 1}, "contract": {"a": 1}}) == {"b": 1}
    assert contract_of({"contracts": 3}) == {}
