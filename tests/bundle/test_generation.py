"""Manifests told apart by their shape."""

import pytest

from mnedge.bundle.generation import Generation, detect


@pytest.mark.parametrize(
    "manifest, generation",
    [
        ({}, Generation.UNKNOWN),
        ({"nodes": {}}, Generation.UNKNOWN),
        ({"nodes": []}, Generation.A),
        ({"apiVersion": "mn.workflow/v1", "nodes": []}, Generation.A),
        ({"flow": {"steps": []}, "nodes": []}, Generation.B_R),
        ({"flow": {"nodes": []}}, Generation.B_F),
        ({"flow": {"nodes": []}, "nodes": []}, Generation.B_F),
        ({"flow": {}}, Generation.UNKNOWN),
        ({"workflow": {}}, Generation.C),
        ({"agents": {"nodes": []}}, Generation.C),
        ({"agents": {}, "nodes": []}, Generation.A),
        ({"workflow": {}, "nodes": [], "flow": {"nodes": []}}, Generation.C),
        ({"apiVersion": "mn.workflow.source/v1", "workflow": {}}, Generation.S1),
        ({"apiVersion": "mn.workflow.source/v2"}, Generation.S2),
        ({"apiVersion": 3, "workflow": []}, Generation.UNKNOWN),
    ],
)
def test_the_first_sign_that_fits_decides(manifest, generation):
    assert detect(manifest) is generation


def test_what_cannot_be_told_is_read_as_the_oldest():
    assert Generation.UNKNOWN.letter == "A"
    assert {g.letter for g in Generation} == set("ABCS")
