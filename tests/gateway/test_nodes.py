"""Names of nodes."""

import pytest

from mnedge.gateway.nodes import NodeNotFoundError, node_name, refuse_other_nodes
from tests.runtime.rig import a_config


def test_clients_call_a_node_by_a_name_with_an_at_in_it(tmp_path):
    assert node_name(a_config(tmp_path, node="edge")) == "mnedge@edge"
    assert node_name(a_config(tmp_path, node="a@b")) == "a@b"


def test_what_is_meant_for_another_node_is_refused(tmp_path):
    config = a_config(tmp_path, node="edge")
    refuse_other_nodes("edge", config)
    refuse_other_nodes("mnedge@edge", config)
    with pytest.raises(NodeNotFoundError) as refused:
        refuse_other_nodes("core", config)
    assert "mnedge@edge" in refused.value.hint
