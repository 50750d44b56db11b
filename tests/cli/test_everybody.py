"""All jobs at once."""


def test_what_happened_in_all_jobs_stands_in_the_order_of_time(mnedge):
    assert "nothing yet" in mnedge("events").out
    for name in ("one", "two"):
        mnedge("blueprint", "run", "message_routing_trace", "-q", "--run-id", name)
    told = mnedge("events", "--type", "job_completed", "--json").value
    assert [one["job_id"] for one in told] == ["one", "two"]
    assert len(mnedge("events", "-n", "1").out.splitlines()) == 1
    logs = mnedge("logs", "--json").value
    assert {one["job_id"] for one in logs} == {"one", "two"}
    assert [one["ts"] for one in logs] == sorted(one["ts"] for one in logs)
