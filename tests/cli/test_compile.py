"""`mnedge blueprint compile`, called as people call it."""

import xml.etree.ElementTree as ET

import pytest


@pytest.mark.drives("mnedge blueprint compile")
def test_a_bundled_blueprint_is_drawn_by_name(mnedge):
    told = mnedge("blueprint", "compile", "prime_range_scan").out
    assert told.startswith("prime_range_scan_v1  generation A, batch, 103 agents, 201 edges\n")
    assert "scan_001 … scan_100 (100)" in told
    assert "→ collector  range_scanned" in told


def test_the_format_may_stand_before_or_behind_the_verb(mnedge):
    before = mnedge("-o", "json", "blueprint", "compile", "message_routing_trace").value
    behind = mnedge("blueprint", "compile", "message_routing_trace", "--json").value
    assert before == behind
    assert before["source_generation"] == "A"
    assert mnedge("blueprint", "compile", "message_routing_trace", "-o", "text").out == (
        mnedge("blueprint", "compile", "message_routing_trace").out
    )
    line = mnedge("blueprint", "compile", "message_routing_trace", "-o", "ndjson").out
    assert line.count("\n") == 1


@pytest.mark.parametrize("form", ["dot", "svg"])
def test_a_drawing_goes_to_a_file(mnedge, tmp_path, form):
    target = tmp_path / f"graph.{form}"
    verb = ("blueprint", "compile", "message_routing_trace", "-o", form)
    assert mnedge(*verb, "--out", str(target)).out == f"✓ written to {target}\n"
    assert target.read_text() == mnedge(*verb).out


def test_with_v_every_agent_is_drawn(mnedge):
    verb = ("blueprint", "compile", "prime_range_scan", "-o", "dot")
    assert '"scan_050"' not in mnedge(*verb).out
    assert '"scan_050"' in mnedge(*verb, "-v").out


def test_what_is_printed_is_the_drawing_and_nothing_else(mnedge):
    svg = mnedge("blueprint", "compile", "message_routing_trace", "-o", "svg").out
    assert ET.fromstring(svg).tag.endswith("svg")
    dot = mnedge("blueprint", "compile", "message_routing_trace", "-o", "dot").out
    assert dot.startswith('digraph "message_routing_trace_v1" {\n')


def test_other_verbs_draw_nothing(mnedge):
    told = mnedge("blueprint", "list", "-o", "svg", code=2)
    assert "'svg' is not one of" in told.err


def test_what_is_not_there_cannot_be_compiled(mnedge):
    assert "no bundle at" in mnedge("blueprint", "compile", "./nowhere", code=2).err
    told = mnedge(
        "blueprint", "compile", "prime_range_scan", "--graph", "both", "-o", "png", code=2
    )
    assert "'png' is not one of" in told.err


def test_a_file_that_cannot_be_written_is_told(mnedge, tmp_path):
    target = tmp_path / "no" / "folder.svg"
    told = mnedge("blueprint", "compile", "prime_range_scan", "--out", str(target), code=1)
    assert str(target) in told.err
