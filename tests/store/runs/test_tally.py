"""Counts follow from the events and from nothing else."""

import msgspec

from mnedge.store.runs.kinds import kind_of
from mnedge.store.runs.tally import OPEN_LIMIT, SLOWEST, Slow, Tally, ms_between

T0, T1, T2 = (f"2026-01-01T00:00:0{n}.000Z" for n in range(3))


def note(tally: Tally, type_: str, ts: str = T0, ours: bool = True, **record) -> int | None:
    return tally.note(kind_of(type_), {"type": type_, "ts": ts, **record}, ours=ours)


def test_a_run_begins_changes_and_ends_by_our_events_alone():
    tally = Tally()
    for type_ in ("run_started", "job_paused", "run_completed"):
        note(tally, type_, ours=False)
    assert tally == Tally()
    note(tally, "run_started", T0)
    note(tally, "job_paused", T1)
    note(tally, "run_failed", T2)
    assert (tally.started_ts, tally.status) == (T0, "paused")
    assert (tally.ended_type, tally.ended_ts) == ("run_failed", T2)


def test_steps_and_phases_take_as_long_as_from_their_start_to_their_end():
    tally = Tally()
    assert note(tally, "workflow_step_attempt_started", T0, step_id="s") is None
    assert note(tally, "workflow_step_completed", T2, step_id="s") == 2000
    assert note(tally, "workflow_step_completed", T2, step_id="s") is None
    note(tally, "blueprint_phase_started", T0, payload={"phase": "loading_inputs"})
    assert note(tally, "blueprint_phase_completed", T1, payload={"phase": "loading_inputs"}) == 1000
    assert note(tally, "fetch_failed", T1, step_id="f", payload={"duration_ms": 7.9}) == 7
    assert tally.slowest_steps == [Slow("s", 2000), Slow("f", 7)]
    assert tally.slowest_phases == [Slow("loading_inputs", 1000)]
    assert tally.failed_step == "f"


def test_an_executor_without_a_step_takes_as_long_as_it_has_its_lease():
    tally = Tally()
    note(tally, "executor_lease_acquired", T0, agent_id="w")
    assert note(tally, "sandbox_job_completed", T1, agent_id="w") == 1000
    assert tally.slowest_steps == [Slow("w", 1000)]


def test_only_the_slowest_and_so_many_beginnings_are_kept():
    tally = Tally()
    for number in range(OPEN_LIMIT + 50):
        note(tally, "workflow_step_attempt_started", step_id=f"s{number}")
    assert len(tally.open) == OPEN_LIMIT
    for number in range(50):
        note(tally, "x_failed", step_id=f"t{number}", payload={"duration_ms": number})
    assert [slow.duration_ms for slow in tally.slowest_steps] == list(range(49, 49 - SLOWEST, -1))


def test_a_run_waits_for_a_person_until_every_request_is_answered():
    tally = Tally()
    for name in ("a", "b", "a"):
        note(tally, "human_input_requested", payload={"request_id": name})
    note(tally, "human_notice", payload={"request_id": "a"})
    note(tally, "human_input_received", payload={"request_id": "a"})
    assert tally.status == "waiting_for_human"
    note(tally, "human_input_timeout", payload={"request_id": "b"})
    note(tally, "human_decision_applied", payload={"request_id": "b"})
    assert tally.status == "running"
    assert tally.warnings == 1


def test_only_what_waits_for_an_answer_makes_a_run_wait():
    tally = Tally()
    note(tally, "human_input_requested", payload={"request_id": "a", "status": "disabled"})
    note(tally, "human_input_requested", ours=False, payload={"request_id": "b"})
    assert tally.status == "running"


def test_a_paused_run_that_waits_for_a_person_waits_again_when_it_is_resumed():
    tally = Tally()
    note(tally, "human_input_requested", payload={"request_id": "a", "status": "pending"})
    note(tally, "job_paused")
    note(tally, "human_input_requested", payload={"request_id": "b"})
    assert tally.status == "paused"
    note(tally, "job_resumed")
    assert tally.status == "waiting_for_human"


def test_odd_records_do_no_harm():
    tally = Tally()
    for record in (
        {"payload": 7},
        {"step_id": 7},
        {"step_id": "s", "payload": {"duration_ms": True}},
    ):
        note(tally, "x_failed", "nonsense", **record)
    assert ms_between("x", T0) == 0
    assert ms_between("2026-01-01T00:00:00", T0) == 0
    assert ms_between(T2, T0) == 0


def test_a_tally_is_kept_with_a_full_file_and_taken_up_again():
    tally = Tally()
    note(tally, "workflow_step_attempt_started", step_id="s")
    note(tally, "x_failed", step_id="t", agent_id="a", payload={"duration_ms": 5})
    kept = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(tally)))
    assert msgspec.convert(kept, Tally) == tally
