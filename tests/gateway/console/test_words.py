from datetime import UTC

import pytest

from mnedge.gateway.console import words


def test_a_status_has_a_sign_and_a_tone_besides_its_word():
    assert words.look("running") == ("running", "●", "live")
    assert words.look("waiting_for_human") == ("waiting for human", "◆", "warn")
    assert words.look("never heard of") == ("never heard of", "·", "idle")


def test_marks_of_tones_that_mean_trouble_are_not_those_of_success():
    marks = {tone: {m for m, t in words._LOOKS.values() if t == tone} for tone in words.URGENCY}
    assert not marks["bad"] & marks["good"]
    assert not marks["live"] & marks["good"]


def test_a_job_that_runs_and_waits_for_a_person_says_so():
    assert words.shown_status({"status": "running", "waiting_for_human": 2}) == "waiting_for_human"
    assert words.shown_status({"status": "failed", "waiting_for_human": 2}) == "failed"


@pytest.mark.parametrize(
    "seconds,said",
    [(0.04, "0.0 s"), (42.2, "42 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"), (None, "")],
)
def test_durations_are_said_in_two_units_at_most(seconds, said):
    assert words.duration(seconds) == said


def test_sizes_numbers_and_counts_can_be_read():
    assert [words.size(n) for n in (512, 1300, 3 << 30, None)] == [
        "512 B",
        "1.3 KiB",
        "3.0 GiB",
        "",
    ]
    assert words.number(12345).replace("\N{NARROW NO-BREAK SPACE}", " ") == "12 345"
    assert words.counted(1, "step") == "1 step"
    assert words.counted(2, "step") == "2 steps"


def test_moments_are_read_from_seconds_and_from_texts():
    assert words.moment(0, UTC) == "1970-01-01 00:00:00"
    assert words.clock("1970-01-01T00:00:01.5+00:00", UTC) == "00:00:01.500"
    assert words.iso(1.25) == "1970-01-01T00:00:01.250+00:00"
    assert words.moment("no moment") == words.moment(None) == words.ago(None, 1.0) == ""


def test_what_was_and_what_will_be_is_told_from_now():
    assert words.ago(100, 101) == "just now"
    assert words.ago(100, 190) == "1 min ago"
    assert words.ago(190, 100) == "in 1 min"
    assert words.ago(0, 90_000) == "1 d ago"


def test_why_a_job_failed_is_found_wherever_it_stands():
    error = {"code": "worker.failed", "details": {"message": "exit 3", "agent_id": "w"}}
    told = words.reason_of({"status": "failed", "error": error})
    assert (told["agent"], told["message"], told["code"]) == ("w", "exit 3", "worker.failed")
    fault = {"fact_seq": 3, "error": "Traceback\nValueError: odd"}
    told = words.reason_of({"status": "faulted", "fault": fault})
    assert told["message"] == "ValueError: odd"
    assert "report it" in told["mend"]
    assert words.why({"status": "running"}) == ""
    assert words.why({"status": "failed", "result": {"error": "no disk"}}) == "no disk"


def test_long_values_are_cut_and_say_so():
    assert words.one_line("a " * 500, 20).endswith("…")
    assert len(words.one_line("a " * 500, 20)) <= 20
    assert words.pretty("x" * 30, 10).endswith("20 more characters")
    assert words.pretty({"a": 1}) == '{\n  "a": 1\n}'


def test_the_telling_part_of_an_event_is_told():
    assert words.told("agent_message_received", {"type": "go", "from": None}) == "go from outside"
    assert words.told("job_failed", {"reason": "no\n disk"}) == "no disk"
    assert words.told("x", {"agent_id": "w", "slots": 2, "pool": "gpu"}) == "slots 2, pool gpu"
    assert words.told("x", ["odd"]) == '["odd"]'


def test_a_job_that_has_not_begun_took_no_time():
    assert words.took({"status": "pending", "submitted_at": 5.0}, 9.0) is None
    assert words.took({"started_at": 5.0}, 9.0) == 4.0
    assert words.took({"submitted_at": 1.0, "ended_at": 3.0}, 9.0) == 2.0


def test_events_have_the_tone_of_what_they_say():
    assert words.event_tone("workflow_step_failed") == "bad"
    assert words.event_tone("human_input_requested") == "warn"
    assert words.event_tone("executor_lease_requested") == "idle"
    assert words.event_tone("job_completed") == "good"
