"""Jobs and agents in lines."""

from mnedge.cli.look import agent_lines, alike, document, job_lines, view_lines
from mnedge.engine.inspect import AgentView
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus
from mnedge.runtime.view import JobView


def agent(agent_id, kind="executor", status="ready", **more):
    fields = {
        "template": "generic",
        "role": None,
        "display_name": None,
        "processed_messages": 2,
        "mailbox_depth": 0,
        "held_for_it": 0,
        "holding": 0,
        "pressure": "low",
        "inflight_message": None,
        "launch": None,
        "last_error": None,
        "current_state": {},
    }
    return AgentView(agent_id=agent_id, kind=kind, status=status, **(fields | more))


def job(status=JobStatus.RUNNING, **more):
    fields = {
        "job_id": "demo-1-a",
        "graph_id": "g",
        "job_name": "n",
        "blueprint_id": "demo",
        "submitted_at": 1000.0,
        "updated_at": 1000.0,
    }
    return JobRecord(status=status, **(fields | more))


def view(record, agents=(), holder=None):
    return JobView(record=record, agents=list(agents), last_fact=1, events=7, holder=holder)


def test_a_list_says_when_how_long_and_why():
    error = {"code": "x", "desc": "It broke", "details": {"message": "exit code 3"}}
    failed = job(JobStatus.FAILED, started_at=1001.0, ended_at=1003.0, error=error)
    lines = [line.plain for line in job_lines([job(started_at=1001.0), failed], 1061.0, None)]
    assert lines[0].split() == ["job", "status", "submitted", "took"]
    assert lines[1].split() == ["demo-1-a", "running", "1", "min", "ago", "1", "min", "00", "s"]
    assert lines[2].endswith("2.0 s  exit code 3")


def test_a_job_that_has_not_started_has_taken_nothing():
    assert job_lines([job(JobStatus.PENDING)], 1000.5, None)[1].plain.split() == [
        "demo-1-a", "pending", "just", "now",
    ]  # fmt: skip


def test_a_view_names_the_owner_or_says_that_there_is_none():
    owned = [line.plain for line in view_lines(view(job(), holder="b:42:9"), 1000.0)]
    assert owned[0] == "demo-1-a  running"
    assert "  owner       process 42" in owned or any("process 42" in line for line in owned)
    orphan = "\n".join(line.plain for line in view_lines(view(job()), 1000.0))
    assert "none: mnedge job recover" in orphan
    over = "\n".join(line.plain for line in view_lines(view(job(JobStatus.COMPLETED)), 1000.0))
    assert "owner" not in over
    assert "7 events, 1 fact" in over


def test_agents_that_stand_alike_share_a_line():
    agents = [agent(f"w_{n}") for n in range(6)] + [agent("w_9", status="error", last_error="no")]
    assert [len(group) for group in alike(agents)] == [6, 1]
    lines = [line.plain for line in agent_lines(agents, None)]
    assert lines[1].split() == ["w_0", "…", "w_5", "6", "executors", "ready", "12", "·"]
    assert lines[2].split() == ["w_9", "executor", "error", "2", "·", "no"]
    assert len(agent_lines(agents, None, every=True)) == 8


def test_what_waits_for_an_agent_is_counted():
    (_, line) = agent_lines([agent("a", mailbox_depth=3, held_for_it=2)], None)
    assert line.plain.split()[-1] == "5"


def test_a_program_gets_everything():
    shown = document(view(job(), [agent("a")]), [])
    assert set(shown) == {
        "job",
        "agents",
        "events",
        "facts",
        "owner",
        "requests",
        "workflow_state",
        "human_requests",
        "dead_letters",
    }
