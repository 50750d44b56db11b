"""Where manifests keep their parts."""

from mnedge.bundle.generation import Generation
from mnedge.bundle.layout import (
    bindings_of,
    edges_of,
    node_lists,
    nodes_of,
    setting,
    sink_of,
    source_of,
    step_edge_list,
    step_list,
    steps_of,
    workers_of,
)

C = Generation.C


def node(name, **more):
    return {"node_id": name, **more}


def test_a_later_list_replaces_agents_of_the_same_id_in_their_place():
    manifest = {
        "flow": {"nodes": [node("a", n=1), node("b", n=1)]},
        "agents": {"nodes": [node("c", n=2), node("a", n=2)]},
        "nodes": [node("b", n=3)],
    }
    assert nodes_of(manifest, C) == [
        (("agents", "nodes", 1), node("a", n=2)),
        (("nodes", 0), node("b", n=3)),
        (("agents", "nodes", 0), node("c", n=2)),
    ]
    assert nodes_of(manifest, Generation.A) == [(("nodes", 0), node("b", n=3))]


def test_two_agents_of_one_id_in_one_list_are_both_kept():
    manifest = {"agents": {"nodes": [node("a"), {}, 3, node("a")]}}
    assert [at[-1] for at, _ in nodes_of(manifest, C)] == [0, 1, 3]
    twice = {"flow": manifest["agents"], "nodes": [node("a"), node("a", n=2)]}
    assert [at for at, _ in nodes_of(twice, C)] == [
        ("nodes", 0),
        ("flow", "nodes", 1),
        ("flow", "nodes", 3),
        ("nodes", 1),
    ]


def test_edges_are_joined_by_their_ids():
    manifest = {"flow": {"edges": [{"edge_id": "e"}, {}]}, "edges": [{"edge_id": "e", "n": 2}, {}]}
    assert [edge for _, edge in edges_of(manifest, C)] == [{"edge_id": "e", "n": 2}, {}, {}]


def test_a_list_that_is_none_is_still_told():
    assert node_lists({"flow": {"nodes": "x"}, "nodes": None}, C) == [(("flow", "nodes"), "x")]
    assert node_lists({"flow": 3, "agents": []}, C) == []


def test_steps_stand_in_flow_or_in_workflow():
    assert step_list({"flow": {"steps": []}, "workflow": {"steps": [1]}})[1] == []
    assert step_list({"flow": {}, "workflow": {"steps": [1]}}) == (("workflow", "steps"), [1])
    assert step_list({"flow": {"steps": 3}}) == (("flow", "steps"), 3)
    assert step_list({}) == (("workflow", "steps"), None)
    steps = [{"id": "a"}, {"id": 3}, "x", {"id": "a", "n": 2}, {"id": "b"}]
    assert [at[-1] for at, _ in steps_of({"workflow": {"steps": steps}})] == [0, 4]


def test_step_edges_stand_in_one_of_three_places():
    workflow = {"graph": {"edges": [2]}, "edges": [3]}
    manifest = {"flow": {"graph": {"edges": [1]}}, "workflow": workflow}
    assert step_edge_list(manifest)[1] == [1]
    assert step_edge_list({"flow": {"graph": {}}, "workflow": workflow})[1] == [2]
    assert step_edge_list({"workflow": {"edges": [3]}}) == (("workflow", "edges"), [3])
    assert step_edge_list({"workflow": {"edges": {}}})[1] == {}
    assert step_edge_list({"flow": {"edges": [1]}}) == (("flow", "graph", "edges"), None)


def test_settings_of_the_graph_come_before_those_of_flow_and_workflow():
    manifest = {
        "flow": {"graph": {"mode": "a"}, "mode": "b", "sink": "c"},
        "workflow": {"mode": "d", "sink": "e", "dynamic": {}, "graph": {"join_default": "f"}},
    }
    assert setting(manifest, "mode") == (("flow", "graph", "mode"), "a")
    assert setting(manifest, "sink") == (("flow", "sink"), "c")
    assert setting(manifest, "dynamic") == (("workflow", "dynamic"), {})
    assert setting(manifest, "join_default") == (("workflow", "graph", "join_default"), "f")
    assert setting({"flow": {}}, "mode") == (("flow", "graph", "mode"), None)


def test_work_starts_and_ends_at_steps_only():
    steps = [{"id": "a"}, {"id": "b"}, {"id": "c"}]

    def ends(**workflow):
        manifest = {"workflow": {"steps": steps, **workflow}}
        return source_of(manifest), sink_of(manifest)

    assert ends() == ("a", "c")
    assert ends(entrypoint="b", source="c", sink="b") == ("b", "b")
    assert ends(entrypoint="gone", source="b", sink="gone") == ("b", "c")
    assert source_of({}) is sink_of({}) is None


def test_workers_of_a_binding_are_found_under_each_name():
    bindings = {"a": {"workers": [{"id": 1}, 2]}, "b": {"worker": {"id": 3}}, "c": {"uses": "t@1"}}
    found = [workers_of(binding) for _, binding in bindings_of({"runtime": {"bindings": bindings}})]
    assert found == [[{"id": 1}], [{"id": 3}], [{"uses": "t@1"}]]
    assert workers_of({}) == []
    assert list(bindings_of({"runtime": {"bindings": {"a": 3}}})) == []
