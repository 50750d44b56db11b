"""A few aligned lines, however many agents there are."""

from rich.cells import cell_len

from mnedge.cli.frame import brief, frame, rows, stem_of, trouble_line
from mnedge.cli.progress import AgentProgress, Trouble, advance, begun
from mnedge.model.events import Event


def job_of(*agents, events=()):
    job = begun(agents)
    for seq, (event_type, agent_id, payload, *step) in enumerate(events, 1):
        advance(job, Event(seq, 1000.0, event_type, agent_id, payload, *step))
    return job


def drawn(job, **more):
    size = {"width": 100, "height": 40} | more
    return [line.plain for line in frame(job, "demo", 1.5, **size)]


def test_a_small_job_is_one_line_per_agent():
    job = job_of(
        ("ingress", "router"),
        ("reviewer", "aggregator"),
        events=[
            ("job_running", None, {}),
            ("agent_message_received", "ingress", {}),
            ("aggregator_received", "reviewer", {"count": 1}),
            ("job_completed", "reviewer", {}),
        ],
    )
    assert drawn(job) == [
        "demo  completed  1.5 s  4 events",
        "",
        "✓  ingress   router      1 handled",
        "✓  reviewer  aggregator  1 collected  ended the job",
    ]


def test_many_alike_share_a_line_with_a_bar():
    workers = [(f"worker_{n:03}", "executor") for n in range(100)]
    events = [("agent_message_received", name, {}) for name, _ in workers]
    events += [("executor_lease_requested", name, {}) for name, _ in workers]
    events += [("executor_lease_acquired", name, {}) for name, _ in workers[:4]]
    events += [("executor_lease_released", name, {}) for name, _ in workers[:2]]
    events += [("sandbox_job_completed", name, {}) for name, _ in workers[:2]]
    lines = drawn(job_of(("start", "router"), *workers, events=events))
    assert len(lines) == 6
    assert lines[3].split()[:6] == ["●", "worker_000", "…", "worker_099", "100", "executors"]
    assert "2 of 100" in lines[3]
    assert "2 running  96 waiting" in lines[3]
    assert lines[-1] == "  2 slots of default in use, 96 waiting for one"


def test_what_the_end_of_the_job_cut_is_told_apart_from_what_was_done():
    workers = [(f"worker_{n}", "executor") for n in range(6)]
    events = [("agent_message_received", name, {}) for name, _ in workers]
    events += [("executor_lease_requested", name, {}) for name, _ in workers[2:]]
    events += [("executor_lease_acquired", "worker_2", {}), ("job_cancelled", None, {})]
    lines = drawn(job_of(*workers, events=events))
    assert lines[2].split()[0] == "!"
    assert lines[2].endswith("2 of 6  4 stopped")
    assert len(lines) == 3


def test_few_alike_keep_their_own_lines():
    agents = [AgentProgress(agent_id=f"w{n}", kind="executor") for n in range(4)]
    assert len(rows(agents)) == 4
    assert len(rows([*agents, AgentProgress(agent_id="w9", kind="executor")])) == 1
    assert len(rows([*agents, AgentProgress(agent_id="w9", kind="router")])) == 5


def test_a_row_shows_its_most_urgent_member():
    agents = [AgentProgress(agent_id=f"w{n}", kind="executor", received=1) for n in range(5)]
    assert rows(agents)[0].state == "done"
    agents[2].running = 1
    assert rows(agents)[0].state == "running"
    agents[4].failed = True
    assert rows(agents)[0].state == "failed"


def test_a_low_terminal_shows_what_is_at_work():
    names = [chr(ord("a") + n) * 3 for n in range(26)]
    job = job_of(
        *((name, "executor") for name in names),
        events=[("executor_lease_requested", "zzz", {}), ("executor_lease_acquired", "zzz", {})],
    )
    lines = drawn(job, height=12)
    assert len(lines) <= 12
    assert any(line.startswith("●  zzz") for line in lines)
    assert any("more agents" in line for line in lines)


def test_no_line_is_wider_than_the_terminal():
    job = job_of(
        ("a-rather-long-name", "executor"),
        events=[("said_something", "a-rather-long-name", {"message": "word " * 60})],
    )
    assert all(cell_len(line) <= 60 for line in drawn(job, width=60))


def test_troubles_stand_below_the_newest_last():
    job = job_of(
        ("a", "router"),
        events=[("dead_letter", "a", {"reason": f"number {n}"}) for n in range(8)],
    )
    lines = drawn(job)
    assert lines[-6] == "  3 earlier"
    assert lines[-1].startswith("!")
    assert lines[-1].endswith("number 7")


def test_a_notice_is_the_last_line():
    assert drawn(job_of(("a", "router")), notice="cancelling")[-2:] == ["", "! cancelling"]


def test_steps_replace_agents_where_there_are_steps():
    job = job_of(
        ("a", "executor"),
        events=[("workflow_step_attempt_started", "a", {"attempt": 2}, "one")],
    )
    assert drawn(job)[2:] == ["●  one  running  attempt 2"]


def test_brief_is_half_a_line():
    job = job_of(
        ("w", "executor"),
        events=[("agent_message_received", "w", {}), ("executor_lease_requested", "w", {})],
    )
    assert brief(job) == "1 message handled, 0 finished, 0 running, 1 waiting"


REQUEST = {
    "request_id": "gate-1",
    "prompt": "Ship the report?",
    "allowed_decisions": ["approve", "reject"],
    "timeout_seconds": 60,
    "default_action": "reject",
    "status": "pending",
}


def test_a_person_is_told_what_is_asked_until_when_and_how_to_answer():
    job = job_of(
        ("a", "router"),
        events=[
            ("job_running", None, {}),
            ("workflow_step_attempt_started", "a", {}, "review"),
            ("human_input_requested", "a", REQUEST, "review"),
        ],
    )
    assert drawn(job, now=1020.0, job_id="demo-1") == [
        "demo  waiting for human  1.5 s  3 events",
        "",
        "●  review  waiting  for a person  20 s",
        "",
        "! review: Ship the report?",
        "  reject in 40 s",
        "  mnedge job approve|reject demo-1",
    ]
    advance(job, Event(4, 1001.0, "human_input_received", "a", {"request_id": "gate-1"}))
    assert "waiting" not in "\n".join(drawn(job, now=1020.0))


def test_other_decisions_and_other_requests_are_named():
    events = [
        ("human_input_requested", "a", {**REQUEST, "request_id": f"r{n}", "prompt": ""})
        for n in range(5)
    ]
    events[0][2]["allowed_decisions"] = ["ship", "hold"]
    lines = drawn(job_of(("a", "router"), events=events), job_id="j", width=60)
    assert "  mnedge job respond j --request r0 --decision ship|hold" in lines
    assert "  mnedge job approve|reject j --request r1" in lines
    assert lines[-1] == "  2 more: mnedge job requests j"
    assert "! a decision is needed" in lines


def test_the_number_at_the_end_of_a_name_is_not_its_stem():
    assert [stem_of(name) for name in ("worker_007", "w12", "42", "plain")] == [
        "worker",
        "w",
        "",
        "plain",
    ]


def test_a_trouble_is_one_line():
    line = trouble_line(Trouble(0.0, "error", "x" * 300, "w"), width=80)
    assert cell_len(line.plain) <= 80
    assert line.plain.startswith("✗")
