"""`mnedge context`, called as a person does; tests/live asks the nodes."""


def test_a_node_is_named_used_shown_and_forgotten(mnedge, monkeypatch):
    monkeypatch.delenv("MNEDGE_HOST", raising=False)
    assert "no nodes have a name" in mnedge("context", "list").out
    assert mnedge("context", "show").out.strip() == "verbs ask this machine"
    assert "✓ edge is https://edge:1" in mnedge("context", "add", "edge", "https://edge:1/").out
    assert "●" not in mnedge("context", "list").out
    assert mnedge("context", "use", "edge").out.strip() == "✓ verbs ask edge"
    assert "●" in mnedge("context", "list").out
    assert "if no other is named" in mnedge("context", "show").out
    assert mnedge("context", "show", "--json").value["url"] == "https://edge:1"
    assert mnedge("context", "use", "here").out.strip() == "✓ verbs ask this machine"
    mnedge("context", "use", "edge")
    assert mnedge("context", "remove", "edge", "--json").value == {"removed": "edge", "current": ""}
    assert mnedge("context", "list", "--json").value == []


def test_what_nobody_named_is_refused(mnedge):
    assert "no node is called" in mnedge("context", "use", "edge", code=2).err
    assert "no node is called" in mnedge("context", "remove", "edge", code=2).err
    assert "no address" in mnedge("context", "add", "edge", "edge:1", code=2).err
