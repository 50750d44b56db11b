"""Files of a run folder have ids and media types that never change."""

import pytest

from mnedge.model.artifacts import OBSERVED, artifact_id, content_type, find_artifact


@pytest.mark.parametrize(
    "path, expected",
    [
        ("result.json", "result_json"),
        ("human.jsonl", "human_events_jsonl"),
        ("web_ui.json", "web_ui_json"),
        ("config.json", "config_json"),
        ("inputs.json", "inputs_json"),
        ("logs.index.json", "logs_index_json"),
        ("events.001.jsonl", "events_jsonl_001"),
        ("logs.1000.jsonl.gz", "logs_jsonl_1000"),
        ("timeline.001.jsonl", "timeline_001_jsonl"),
        ("artifacts/Final Report (2).PDF", "artifacts_final_report_2_pdf"),
        ("--x--", "x"),
    ],
)
def test_an_id_follows_from_the_path(path, expected):
    assert artifact_id(path) == expected


@pytest.mark.parametrize(
    "path, expected",
    [
        ("a/b.json", "application/json"),
        ("events.jsonl", "application/x-ndjson"),
        ("README.MD", "text/markdown"),
        ("events.log", "text/plain"),
        ("x.pdf", "application/pdf"),
        ("x.jsonl.gz", "application/gzip"),
        ("folder.json/plain", "application/octet-stream"),
        ("json", "application/octet-stream"),
    ],
)
def test_a_media_type_follows_from_the_ending(path, expected):
    assert content_type(path) == expected


def test_a_reference_means_an_id_before_it_means_a_path():
    paths = ["result_json", "result.json", "out/x.bin"]
    assert find_artifact("result_json", paths) == "result_json"
    assert find_artifact("result_json", paths[1:]) == "result.json"
    assert find_artifact("out/x.bin", paths) == "out/x.bin"
    assert find_artifact("absent", paths) is None


def test_a_summary_links_to_streams_that_have_ids():
    assert set(OBSERVED) <= {
        artifact_id(name)
        for name in (
            "events.jsonl", "logs.jsonl", "errors.jsonl", "timeline.jsonl", "timeline.json",
        )
    }  # fmt: skip
