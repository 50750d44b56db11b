"""`mnedge node` without a daemon."""


def test_this_machine_is_a_node(mnedge):
    (node,) = mnedge("node", "list", "--json").value
    assert node["self"] is True
    assert "no daemon" in mnedge("node", "list").out
