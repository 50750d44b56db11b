"""`mnedge node` and `mnedge resource` without a daemon."""


def test_this_machine_is_a_node(mnedge):
    (node,) = mnedge("node", "list", "--json").value
    assert node["self"] is True
    assert "no daemon" in mnedge("node", "list").out


def test_what_the_machine_has_is_shown(mnedge):
    assert mnedge("resource", "list", "--json").value["totals"]["cpu_cores"] >= 1
    assert "memory" in mnedge("resource", "list").out
