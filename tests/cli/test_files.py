"""Files that a job left; tests/live fetches them over a socket."""


def test_files_are_listed_printed_and_written(mnedge, home, tmp_path):
    mnedge("blueprint", "run", "message_routing_trace", "-q", "--run-id", "mine")
    listed = {one["path"]: one for one in mnedge("job", "artifacts", "--json").value}
    kept = home / "runs" / "mine" / "result.json"
    assert listed["result.json"]["size_bytes"] == kept.stat().st_size
    assert "result.json" in mnedge("job", "artifacts").out
    out = tmp_path / "copy.json"
    mnedge("job", "artifact", "get", "mine", "result.json", "--out", str(out))
    assert out.read_bytes() == kept.read_bytes()
    refused = mnedge("job", "artifact", "get", "mine", "run.json", "--out", str(out), code=1)
    assert "--force replaces it" in refused.err
    mnedge("job", "artifact", "get", "mine", "run.json", "--out", str(tmp_path), "--json")
    assert (tmp_path / "run.json").exists()
    gone = mnedge("job", "artifact", "get", "mine", "../run.json", code=2)
    assert "left no file" in gone.err
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
