"""`mnedge config`."""

import json

import pytest

BAD = "node: edge\nrelay: {listen: {htp: x}}\n"
GOOD = "node: edge\nrelay: {replicas: 2}\ntrace: {otel: {headers: {a: geheim}}}\n"


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.drives("mnedge config check")
def test_check_tells_every_problem_with_its_place(mnedge, file):
    path = file(BAD)
    told = mnedge("config", "check", path, code=2)
    assert f"{path}:2:18" in told.out
    assert "did you mean http?" in told.out
    assert "1 error" in told.out


@pytest.mark.drives("mnedge config check")
def test_check_of_a_good_file_ends_with_zero_and_notes(mnedge, file):
    path = file(GOOD)
    told = mnedge("config", "check", path)
    assert "CFG-I01" in told.out
    assert "CFG-W01" in told.out
    assert f"{path} is good" in told.out
    assert "geheim" not in told.out


def test_check_for_programs(mnedge, file):
    told = mnedge("config", "check", file(BAD), "--json", code=2).value
    assert told["valid"] is False
    assert told["problems"][0]["location"]["line"] == 2
    [line] = mnedge("config", "check", file(BAD), "-o", "ndjson", code=2).out.splitlines()
    assert json.loads(line)["rule"] == "CFG-E03"


def test_check_without_a_file(mnedge):
    assert "no configuration file" in mnedge("config", "check").out
    assert "there is no configuration file" in mnedge("config", "check", "/nowhere", code=2).err


@pytest.mark.drives("mnedge config show")
def test_show_says_every_value_and_its_origin(mnedge, file, monkeypatch):
    monkeypatch.setenv("MNEDGE_CONFIG", file(GOOD))
    told = mnedge("config", "show", "--origin").out
    assert any(line.split()[:2] == ["node", "file"] for line in told.splitlines())
    assert "[REDACTED]" in told
    assert "geheim" not in told
    tree = mnedge("config", "show", "--json").value
    assert tree["node"] == "edge"
    full = mnedge("config", "show", "--origin", "--json").value
    assert full["origins"]["node"]["source"] == "file"
    lines = mnedge("config", "show", "-o", "ndjson").out.splitlines()
    assert json.loads(lines[0])["path"] == "data_dir"


def test_show_of_a_bad_file_says_what_is_wrong(mnedge, file):
    told = mnedge("config", "show", "--config", file(BAD), code=2)
    assert "CFG-E03" in told.err


@pytest.mark.drives("mnedge config schema")
def test_schema_prints_a_json_schema(mnedge):
    assert mnedge("config", "schema").value["$ref"] == "#/$defs/FileSettings"


def test_a_bad_file_stops_every_verb_with_all_its_problems(mnedge, file, monkeypatch):
    monkeypatch.setenv("MNEDGE_CONFIG", file(BAD))
    told = mnedge("job", "list", code=2)
    assert "CFG-E03" in told.err
