"""Nodes and resources in lines."""

from mnedge.cli.machine import _row

NODE = {
    "name": "edge", "status": "healthy", "active_jobs": 2,
    "hardware": {"cpu": {"cores": 4}, "memory": {"available_gb": 1.5, "total_gb": 8.0}},
}  # fmt: skip


def test_a_node_is_a_line():
    cells = [cell.text for cell in _row(NODE, {"status": "ok", "version": "1"})]
    assert cells == ["edge", "healthy", "2", "4", "1.5 of 8 GiB", "1"]


def test_a_node_that_is_not_well_says_so():
    assert _row(NODE, {"status": "degraded", "version": "1"})[1].text == "degraded"
