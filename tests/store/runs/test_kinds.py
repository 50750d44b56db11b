"""A type alone tells which files its event enters."""

import pytest

from mnedge.store.runs.kinds import PHASES, kind_of, summary_of


@pytest.mark.parametrize(
    "type_",
    [
        "job_failed",
        "run_failed",
        "retry_exhausted",
        "scheduler_failure",
        "error_recorded",
        "output_skill_failed",
        "workflow_step_attempt_timed_out",
        "anything_failed",
    ],
)
def test_failures_are_known_by_name_or_ending(type_):
    kind = kind_of(type_)
    assert kind.failure
    assert kind.timeline
    assert kind.by_record


@pytest.mark.parametrize(
    "type_, status, phase",
    [
        ("job_pending", "pending", "validating"),
        ("job_running", "running", "running_worker"),
        ("inputs_loaded", "completed", "loading_inputs"),
        ("run_completed", "completed", "completed"),
        ("job_cancelled", "cancelled", "completed"),
        ("run_failed", "failed", "failed"),
        ("workflow_step_skipped", "skipped", "running_worker"),
        ("human_input_requested", "pending", "waiting_for_human"),
        ("artifact_written", "", "writing_artifacts"),
        ("workflow_step_attempt_retry_scheduled", "retry_wait", "running_worker"),
    ],
)
def test_what_changes_a_state_enters_the_timeline(type_, status, phase):
    kind = kind_of(type_)
    assert kind.timeline
    assert (kind.status, kind.phase) == (status, phase)
    assert kind.phase in PHASES


@pytest.mark.parametrize(
    "type_",
    ["agent_message_received", "aggregator_received", "route_selected", "agent_beacon",
     "workflow_step_beacon", "blueprint_status", "executor_lease_released", "my_own_event"],
)  # fmt: skip
def test_what_happens_all_the_time_does_not(type_):
    kind = kind_of(type_)
    assert not kind.timeline
    assert not kind.noted


def test_warnings_and_retries_are_counted_whoever_names_them():
    assert kind_of("dead_letter").warning
    assert kind_of("executor_output_truncated").warning
    assert kind_of("executor_lease_rejected").warning
    retry = kind_of("message_retry_scheduled")
    assert retry.retry
    assert retry.warning
    assert retry.noted


def test_a_summary_is_the_error_then_a_message_then_the_type():
    kind = kind_of("door_failed")
    assert summary_of(kind, {"error": {"desc": "Dark"}, "payload": {"message": "m"}}) == "Dark"
    assert summary_of(kind, {"payload": {"message": "it is\n dark"}}) == "it is dark"
    assert summary_of(kind, {"payload": "odd"}) == "Door failed"
