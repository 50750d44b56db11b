"""Dead letters in lines."""

from mnedge.cli.letters import letter_lines


def test_a_letter_is_a_line():
    letters = [
        {
            "message_id": "m-1",
            "reason": "agent x is not part of the job",
            "agent_id": "x",
            "message": {"envelope": {"type": "work"}},
        },
        {"message_id": "m-2", "reason": "more than 10000\nmessages", "step_id": "s"},
    ]
    lines = [line.plain.split() for line in letter_lines(letters, None)]
    assert lines[0] == ["message", "type", "for", "reason"]
    assert lines[1] == ["m-1", "work", "x", "agent", "x", "is", "not", "part", "of", "the", "job"]
    assert lines[2] == ["m-2", "s", "more", "than", "10000", "messages"]
    assert all(len(line.plain) <= 30 for line in letter_lines(letters, 30))
