"""`mnedge sbom`."""

import json
import sys

import pytest

from mnedge.cli import sbom

BILL = {
    "bomFormat": "CycloneDX",
    "metadata": {
        "component": {
            "name": "mnedge",
            "version": "1.2",
            "properties": [
                {"name": "mnedge:flavour", "value": "lean"},
                {"name": "mnedge:glibc", "value": "2.35"},
                {"name": "mnedge:platform", "value": "linux-x86_64"},
            ],
        }
    },
    "components": [
        {
            "type": "library",
            "name": "cryptography",
            "version": "50",
            "licenses": [{"expression": "Apache-2.0 OR BSD-3-Clause"}],
            "components": [
                {
                    "type": "library",
                    "name": "openssl",
                    "version": "4.0",
                    "licenses": [{"license": {"id": "Apache-2.0"}}],
                },
                {"type": "file", "name": "_internal/x.so"},
            ],
        },
        {"type": "library", "name": "trio", "version": "0.35", "licenses": []},
    ],
}


@pytest.fixture
def frozen(tmp_path, monkeypatch):
    place = tmp_path / "_internal"
    (place / "licences" / "trio-0.35").mkdir(parents=True)
    (place / "mnedge.cdx.json").write_text(json.dumps(BILL, indent=1))
    (place / "licences" / "trio-0.35" / "LICENSE").write_text("do what you like\n")
    row = {
        "name": "trio",
        "version": "0.35",
        "licence": "MIT",
        "texts": ["trio-0.35/LICENSE"],
    }
    (place / "licences" / "index.json").write_text(json.dumps([row]))
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "_MEIPASS", str(place), raising=False)
    return place


@pytest.mark.drives("mnedge sbom")
def test_a_person_reads_parts_versions_and_licences(mnedge, frozen):
    assert mnedge("sbom").out.splitlines() == [
        "mnedge 1.2 (lean, linux-x86_64), needs glibc 2.35 or newer, 2 parts",
        "",
        "cryptography  50    Apache-2.0 OR BSD-3-Clause",
        "  openssl     4.0   Apache-2.0",
        "trio          0.35  unknown",
        "  mnedge sbom --licence PART; mnedge sbom --json is for scanners",
    ]


def test_a_scanner_gets_the_very_document(mnedge, frozen):
    assert mnedge("sbom", "--json").out == (frozen / "mnedge.cdx.json").read_text()
    lines = mnedge("sbom", "-o", "ndjson").out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["cryptography", "trio"]


def test_a_licence_is_printed_as_it_is(mnedge, frozen):
    assert mnedge("sbom", "--licence", "Trio").out == "trio 0.35: MIT\n\ndo what you like\n"
    assert mnedge("sbom", "--licence", "trio", "--json").value["texts"] == ["trio-0.35/LICENSE"]


def test_a_part_that_is_not_there_is_refused_with_near_names(mnedge, frozen):
    told = mnedge("sbom", "--licence", "troi", code=2).err
    assert "there is no part 'troi'" in told
    assert "there is trio" in told


def test_from_source_there_is_none(mnedge):
    told = mnedge("sbom", code=2).err
    assert "this mnedge has no bill of materials" in told
    assert "make binary" in told


def test_a_licence_may_have_a_name_only():
    named = {"name": "x", "version": "1", "licenses": [{"license": {"name": "Mine"}}]}
    assert sbom.row(named) == ("x", "1", "Mine")
