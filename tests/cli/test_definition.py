"""`mnedge definition` without a daemon."""

import io


def test_a_definition_is_kept_and_started_later(mnedge):
    assert "no definitions" in mnedge("definition", "list").out
    made = mnedge("definition", "create", "message_routing_trace", "--id", "trace", "--json").value
    assert made["definition_id"] == "trace"
    assert "trace" in mnedge("definition", "list").out
    told = mnedge("definition", "start", "trace", "--run-id", "first").out
    assert "mnedge job recover first" in told
    shown = mnedge("definition", "show", "trace", "--json").value
    assert [run["status"] for run in shown["runs"]] == ["pending"]
    mnedge("job", "cancel", "first")
    assert "Archived: trace" in mnedge("definition", "archive", "trace").out
    assert "archived" in mnedge("definition", "start", "trace", code=1).err
    assert "Forgotten: trace" in mnedge("definition", "delete", "trace", "-y").out
    assert mnedge("definition", "list", "--all", "--json").value == []


def test_without_a_yes_nothing_is_forgotten(mnedge, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    mnedge("definition", "create", "message_routing_trace", "--id", "trace")
    mnedge("definition", "delete", "trace", code=130)
    assert len(mnedge("definition", "list", "--json").value) == 1


def test_where_nobody_can_answer_the_question_names_the_option(mnedge, monkeypatch):
    mnedge("definition", "create", "message_routing_trace", "--id", "trace")
    for words in (("definition", "delete", "trace"), ("job", "cancel-all")):
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        assert "--yes" in mnedge(*words, code=2).err
