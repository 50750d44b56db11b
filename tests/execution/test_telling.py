"""What attempts and workers tell becomes notes."""

from mnedge.execution.telling import telling
from mnedge.model.facts import Note


def test_an_event_is_noted_at_the_time_of_the_job_and_of_its_agent():
    notes, times = [], iter([1.0, 2.0])
    tell = telling(notes.append, "w", lambda: next(times))
    tell("began", {"x": 1})
    tell("ended", {})
    assert notes == [
        Note(at=1.0, type="began", agent_id="w", payload={"x": 1}),
        Note(at=2.0, type="ended", agent_id="w", payload={}),
    ]
