"""`top`, `logs` and `events` without a daemon; tests/live has one."""


def test_the_node_is_seen_once(mnedge):
    mnedge("blueprint", "run", "message_routing_trace", "-q", "--run-id", "mine")
    seen = mnedge("top", "--once", "--json").value
    assert [job["job_id"] for job in seen["jobs"]] == ["mine"]
    assert "mine" in mnedge("top", "--once").out
    assert "mine" in mnedge("top").out


def test_logs_of_one_job_are_those_of_job_logs(mnedge):
    mnedge("blueprint", "run", "message_routing_trace", "-q", "--run-id", "mine")
    assert mnedge("logs", "mine").out == mnedge("job", "logs", "mine").out
    assert "mine" in mnedge("events").out
