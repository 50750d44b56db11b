"""What attempts and workers tell becomes notes."""

from mnedge.execution.telling import telling
from mnedge.model.facts import NamedEvent, Note, WorkerSaid


def test_an_event_is_noted_at_the_time_of_the_job_and_of_its_agent():
    notes, times = [], iter([1.0, 2.0])
    tell = telling(notes.append, "w", lambda: next(times))
    tell("began", {"x": 1})
    tell("ended", {})
    assert notes == [
        Note(at=1.0, type="began", agent_id="w", payload={"x": 1}),
        Note(at=2.0, type="ended", agent_id="w", payload={}),
    ]


def test_what_decides_is_a_fact_of_its_launch_and_the_rest_are_notes_of_it():
    told = []
    tell = telling(told.append, "w", lambda: 1.0, work_id="s:attempt:1", launch=2)
    tell("workflow_step_failed", {"reason": "r"})
    tell("agent_beacon", {})
    event = NamedEvent(type="workflow_step_failed", payload={"reason": "r"})
    assert told == [
        WorkerSaid(at=1.0, work_id="s:attempt:1", launch=2, event=event),
        Note(at=1.0, type="agent_beacon", agent_id="w", work_id="s:attempt:1", launch=2),
    ]
